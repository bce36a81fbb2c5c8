-- SPDX-License-Identifier: Apache-2.0
-- What scripts/greylist.lua promises.
policy("scripts/greylist.lua")

local later = "greylist 451 4.7.1 not now, try again later"

local function come(fields)
	fields = fields or {}
	fields.recipient = fields.recipient or "alice@example.org"
	return run("envelope.recipient", fields)
end

it("asks who comes first to come again, and lets him in then", function()
	equal(come(), later)
	advance("4m")
	equal(come(), later)
	advance("2m")
	equal(come(), "continue")
	equal(come(), "continue")
end)

it("knows who came again for a month", function()
	come()
	advance("10m")
	equal(come(), "continue")
	advance("30d")
	equal(come(), "continue")
	advance("35d")
	equal(come(), "continue")
	advance("37d")
	equal(come(), later)
end)

it("forgets who did not come again", function()
	come()
	advance("25h")
	equal(come(), later)
end)

it("looks at network, sender and recipient", function()
	come()
	advance("10m")
	equal(come { recipient = "bob@example.org" }, later)
	equal(come { sender = "other@example.net" }, later)
	equal(come { sender = "" }, later)
	equal(come { peer = "198.51.100.1" }, later)
	equal(come { peer = "192.0.2.99" }, "continue")
	equal(come { recipient = "ALICE@example.org", peer = "192.0.2.1" }, "continue")
end)

it("takes half an IPv6 address for a network", function()
	equal(come { peer = "2001:db8:1:2::1" }, later)
	advance("10m")
	equal(come { peer = "2001:db8:1:2:3:4:5:6" }, "continue")
	equal(come { peer = "2001:db8:1:3::1" }, later)
	equal(come { peer = "2001:db8::1" }, later)
end)

it("does not ask a network that passed often enough", function()
	for number = 1, 5 do
		equal(come { recipient = "user" .. number .. "@example.org" }, later)
	end
	advance("10m")
	for number = 1, 5 do
		equal(come { recipient = "user" .. number .. "@example.org" }, "continue")
	end
	equal(come { recipient = "new@example.org" }, "continue")
	equal(come { recipient = "new@example.org", peer = "198.51.100.1" }, later)
end)

it("lets those in whom it knows already", function()
	equal(come { identity = "bob@example.org" }, "continue")
	equal(come { identity = "", is_loopback = true }, "continue")
	equal(come { is_loopback = false, instance = "submission" }, "continue")
end)

it("defers where the cache does not answer", function()
	cache_fails(true)
	local said, failure = come()
	equal(said, "defer 451 4.3.0 local error in processing")
	assert(failure:find("the cache did not answer", 1, true), failure)
end)
