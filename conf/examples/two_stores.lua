-- SPDX-License-Identifier: Apache-2.0
-- Two domains with a store and an account file of their own each, and a policy with tight limits.

hostname = "mx.example.org"
data_directory = "/var/lib/postern"

certificate { "/etc/postern/fullchain.pem", key = "/etc/postern/key.pem" }

-- The configuration is Lua: what repeats can be a function.
local function customer(name)
	module "store_local" { as = "store-" .. name }
	module "auth_file" { as = "accounts-" .. name, path = "/etc/postern/" .. name .. ".users" }
	domain(name .. ".example") { store = "store-" .. name, directory = "accounts-" .. name }
end

customer "first"
customer "second"

listen { "0.0.0.0:25", "[::]:25", to = "mx" }
module "smtp" { as = "mx", profile = "mx" }

listen { "0.0.0.0:995", "[::]:995", to = "pop3", tls = "implicit" }
listen { "0.0.0.0:993", "[::]:993", to = "imap", tls = "implicit" }
module "pop3" {}
module "imap" {}

policy { "/etc/postern/customer.lua", cpu = "10ms", memory = "4M" }
