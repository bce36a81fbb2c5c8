-- SPDX-License-Identifier: Apache-2.0
-- The configuration of a gateway that takes mail for one domain and serves its mailboxes. Change the
-- names, check it with `postern config check`, and start it. Every word there is stands in
-- reference.lua; README.md beside this file explains them.

hostname = "mx.example.org"
data_directory = "/var/lib/postern"
control = "127.0.0.1:2080" -- /health and /metrics

-- Certificates: the chain and its key, both PEM.
certificate { "/etc/postern/fullchain.pem", key = "/etc/postern/key.pem" }

-- Domains that are served here; their addresses stand in the account file below.
domain "example.org" { store = "local" }

-- From other servers.
listen { "0.0.0.0:25", "[::]:25", to = "mx" }
module "smtp" { as = "mx", profile = "mx", max_message_size = "50M" }

-- From our own users.
listen { "0.0.0.0:587", "[::]:587", to = "submission" }
listen { "0.0.0.0:465", "[::]:465", to = "submission", tls = "implicit" }
module "smtp" { as = "submission", profile = "submission", authentication = "required" }

-- For reading mail.
listen { "0.0.0.0:995", "[::]:995", to = "pop3", tls = "implicit" }
listen { "0.0.0.0:993", "[::]:993", to = "imap", tls = "implicit" }
module "pop3" {}
module "imap" {}

-- Mail of our users for other domains: by MX records, or all of it to one server (`relay`).
module "deliver_smtp" {}
-- relay = "relay.example.net:587"

-- Where mail is kept, and who there is.
module "store_local" { as = "local" }
module "auth_file" { path = "/etc/postern/users" }

-- Who really sent what strangers bring (SPF, DKIM, DMARC, ARC), which policies read as message.auth and
-- readers as Authentication-Results; authentication.lua follows what the owners of domains want.
module "spf" {}
module "iprev" {}
module "dkim" {}
module "arc" {}
module "dmarc" {}
module "authentication_results" {}

-- What is asked of strangers, and who may send as whom.
policy { "/usr/share/postern/scripts/inbound.lua", allow = { "dns" } }
policy "/usr/share/postern/scripts/authentication.lua"
policy "/usr/share/postern/scripts/sender_identity.lua"
