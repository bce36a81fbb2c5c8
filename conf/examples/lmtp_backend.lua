-- SPDX-License-Identifier: Apache-2.0
-- Mailboxes behind another mail server: it hands messages over by LMTP on a socket, and people read
-- them here.

hostname = "store.example.org"
data_directory = "/var/lib/postern"

certificate { "/etc/postern/fullchain.pem", key = "/etc/postern/key.pem" }
domain "example.org" { store = "local" }

listen { "unix:/run/postern/lmtp.sock", to = "lmtp", tls = "never" }
module "smtp" { as = "lmtp", profile = "lmtp" }

listen { "0.0.0.0:995", "[::]:995", to = "pop3", tls = "implicit" }
listen { "0.0.0.0:993", "[::]:993", to = "imap", tls = "implicit" }
module "pop3" {}
module "imap" {}

module "store_local" { as = "local" }
module "auth_file" { path = "/etc/postern/users" }
