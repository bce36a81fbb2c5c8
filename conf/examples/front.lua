-- SPDX-License-Identifier: Apache-2.0
-- A gateway in front of another mail server: it takes mail for its domains, judges it, queues what
-- the server cannot take just now, and sends what the server hands in to the world.
--
-- A file `routes` beside the copy of routes.lua says which domains, and where the server is:
--
--	example.org    hosts 10.0.0.5:25
--	example.com    hosts unix:/run/store/lmtp transport=deliver_lmtp

hostname = "mx.example.org"
data_directory = "/var/lib/postern"

certificate { "/etc/postern/fullchain.pem", key = "/etc/postern/key.pem" }

-- From the world, and from the server behind, which logs in.
listen { "0.0.0.0:25", "[::]:25", to = "mx" }
module "smtp" { as = "mx", profile = "mx", max_message_size = "50M" }
listen { "10.0.0.1:587", to = "submission" }
module "smtp" { as = "submission", profile = "submission", authentication = "required" }

module "deliver_smtp" {}
module "deliver_lmtp" {}

-- The server behind is near: more at a time than a stranger's would be given. Somebody far away
-- who asked for less gets less.
destination { "10.0.0.5", connections = 50, messages_per_connection = 1000 }
destination { "slow.example.net", connections = 2, messages_per_minute = 60 }

module "store_local" { as = "queue" }
module "auth_file" { path = "/etc/postern/users" }

-- Who really sent what strangers bring (SPF, DKIM, DMARC, ARC), which policies read as message.auth and
-- readers as Authentication-Results; authentication.lua follows what the owners of domains want.
module "spf" {}
module "iprev" {}
module "dkim" {}
module "arc" {}
module "dmarc" {}
module "authentication_results" {}

policy { "/etc/postern/inbound.lua", allow = { "dns" } }
policy "/etc/postern/authentication.lua"
policy "/etc/postern/routes.lua"
