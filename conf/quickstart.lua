-- SPDX-License-Identifier: Apache-2.0
-- What contrib/quickstart.sh runs: everything on 127.0.0.1, for trying things out and for tests. It
-- is no example for the network: passwords are taken without TLS, and limits are wide open.

local data = environment("POSTERN_DATA", "../build/quickstart")
local modules = environment("POSTERN_MODULES", "")
local offset = environment("POSTERN_PORT_OFFSET", 0)

local function port(number)
	return "127.0.0.1:" .. number + offset
end

hostname = "mx.example.test"
data_directory = data
control = port(2080)
if modules ~= "" then
	module_directories = { modules }
end
user = environment("POSTERN_USER", "") -- of the workers, when root starts it

max_sessions = 15000
max_sessions_per_address = 15000
max_sessions_per_account = 15000
max_sessions_per_tenant = 15000
stop_grace = "5s"

certificate { data .. "/certificate.pem", key = data .. "/key.pem" }
domain "example.test" { store = "local", directory = "accounts" }

listen { port(2525), to = "mx" }
listen { port(2587), to = "submission" }
listen { port(2465), to = "submission", tls = "implicit" }
listen { port(2424), to = "lmtp" }
listen { port(2110), to = "pop3" }
listen { port(2995), to = "pop3", tls = "implicit" }
listen { port(2143), to = "imap" }
listen { port(2993), to = "imap", tls = "implicit" }

module "smtp" {
	as = "mx",
	profile = "mx",
	max_errors = 1000,
	soft_errors = 1000,
}
module "smtp" {
	as = "submission",
	profile = "submission",
	authentication = "required",
	plaintext_login = "loopback",
	max_errors = 1000,
	soft_errors = 1000,
}
module "smtp" {
	as = "lmtp",
	profile = "lmtp",
	max_errors = 1000,
	soft_errors = 1000,
}
module "pop3" {
	plaintext_login = "loopback",
}
module "imap" {
	plaintext_login = "loopback",
	max_errors = 1000,
}

-- Mail for other domains: by their MX records, or to another server.
module "deliver_smtp" {}
module "deliver_lmtp" {}
relay = environment("POSTERN_RELAY", "")

module "store_local" { as = "local" }
module "auth_file" { as = "accounts", path = data .. "/users" }

policy { "../scripts/inbound.lua", allow = { "dns" } }
policy "../scripts/sender_identity.lua"

welcome = "Try:\n"
	.. "  swaks --server " .. port(2525) .. " --to alice@example.test --from you@example.net\n"
	.. "  swaks --server " .. port(2587) .. " --tls --auth-user bob --auth-password postern"
	.. " --from bob@example.test --to alice@example.test\n"
	.. "  curl pop3://" .. port(2110) .. "/1 --user alice:postern\n"
	.. "  curl 'imap://" .. port(2143) .. "/INBOX;MAILINDEX=1' --user alice:postern\n"
	.. "  curl http://" .. port(2080) .. "/health\n"
