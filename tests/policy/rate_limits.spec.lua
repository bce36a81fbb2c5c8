-- SPDX-License-Identifier: Apache-2.0
-- What scripts/rate_limits.lua promises.
policy("scripts/rate_limits.lua", { ["limit = 60,"] = "limit = 3,", ["limit = 300,"] = "limit = 2,", ["limit = 2000,"] = "limit = 3,",
	["exceptions = {"] = 'exceptions = { ["big@example.org"] = 4, ["192.0.2.9"] = false,' })

local too_many = "defer 421 4.7.0 too many connections, come again in a minute"

it("counts connections of strangers, by address and for a time", function()
	for _ = 1, 3 do
		equal(run("connection.open"), "continue")
	end
	equal(run("connection.open"), too_many)
	equal(run("connection.open", { peer = "192.0.2.2" }), "continue")
	advance("59s")
	equal(run("connection.open", { peer = "192.0.2.1" }), too_many)
	advance("1s")
	equal(run("connection.open"), "continue")
end)

it("counts messages of who logged in", function()
	local fields = { identity = "Alice@example.org" }
	equal(run("envelope.sender", fields), "continue")
	equal(run("envelope.sender", fields), "continue")
	equal(run("envelope.sender", fields), "defer 450 4.7.1 you have sent too many messages, go on in an hour")
	equal(run("envelope.sender", { identity = "bob@example.org" }), "continue")
	advance("1h")
	equal(run("envelope.sender", fields), "continue")
end)

it("counts recipients of who logged in, over messages", function()
	for number = 1, 3 do
		equal(run("envelope.recipient", { identity = "alice@example.org", recipient = "r" .. number .. "@example.net" }), "continue")
	end
	equal(run("envelope.recipient", { recipient = "r4@example.net" }),
		"defer 450 4.7.1 you have sent to too many recipients, go on tomorrow")
end)

it("knows exceptions", function()
	for _ = 1, 4 do
		equal(run("envelope.sender", { identity = "big@example.org" }), "continue")
	end
	assert(run("envelope.sender", { identity = "big@example.org" }):find("^defer"))
	for _ = 1, 10 do
		equal(run("connection.open", { identity = "", peer = "192.0.2.9" }), "continue")
	end
end)

it("leaves our own machine alone", function()
	for _ = 1, 10 do
		equal(run("connection.open", { is_loopback = true }), "continue")
	end
end)

it("does not count who logged in with strangers", function()
	for _ = 1, 10 do
		equal(run("connection.open", { identity = "alice@example.org" }), "continue")
	end
end)

it("defers where the cache does not answer", function()
	cache_fails(true)
	equal(run("connection.open"), "defer 421 4.3.0 local error in processing")
end)

policy("scripts/rate_limits.lua", { ['by = "peer", limit = 500'] = 'by = "sender_domain", limit = 1' })

it("counts by sender, too", function()
	equal(run("envelope.sender", { sender = "a@example.net" }), "continue")
	equal(run("envelope.sender", { sender = "b@Example.NET" }), "defer 450 4.7.1 too many messages from your address")
	equal(run("envelope.sender", { sender = "a@example.com" }), "continue")
	equal(run("envelope.sender", { sender = "" }), "continue")
	equal(run("envelope.sender", { sender = "" }), "continue")
end)
