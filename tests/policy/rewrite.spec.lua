-- SPDX-License-Identifier: Apache-2.0
-- What scripts/rewrite.lua promises.
local table_text = [[
js@example.org              jane.smith@example.org
@inner.example.org          @example.org
root@host-1.example.org     admin@example.org
same@example.org            same@example.org
]]

policy("scripts/rewrite.lua", nil, { files = { canonical = table_text } })

local known = "jane@example.org" -- who logged in

it("changes the sender of who logged in", function()
	equal(run("envelope.sender", { sender = "js@example.org", identity = known }), "continue")
	equal(sender(), "jane.smith@example.org")
	equal(fact("rewrite.sender"), "js@example.org")
	run("envelope.sender", { sender = "x@inner.example.org", identity = known })
	equal(sender(), "x@example.org")
	run("envelope.sender", { sender = "js+tag@example.org", identity = known })
	equal(sender(), "jane.smith+tag@example.org")
	run("envelope.sender", { sender = "x+tag@inner.example.org", identity = known })
	equal(sender(), "x+tag@example.org")
end)

it("leaves other senders alone", function()
	for _, address in ipairs { "", "other@example.org", "same@example.org", "js@example.net" } do
		equal(run("envelope.sender", { sender = address, identity = known }), "continue")
		equal(sender(), address)
	end
	run("envelope.sender", { sender = "js@example.org", identity = "" })
	equal(sender(), "js@example.org")
end)

it("changes recipients for everybody", function()
	equal(run("envelope.recipient", { recipient = "js@example.org" }), "redirect jane.smith@example.org")
	equal(run("envelope.recipient", { recipient = "a@inner.example.org" }), "redirect a@example.org")
	equal(run("envelope.recipient", { recipient = "b@example.org" }), "continue")
	equal(run("envelope.recipient", { recipient = "same@example.org" }), "continue")
end)

local text = 'From: "js@example.org" (js@example.org) <js@example.org>\r\n' ..
	"To: root@host-1.example.org, Bob <bob@example.net>,\r\n Root <ROOT@host-1.example.org>\r\n" ..
	"Cc: a@inner.example.org\r\nCc: b@inner.example.org\r\nX-From: js@example.org\r\n\r\n"

it("changes the header for who logged in, and only addresses in it", function()
	equal(run("message.change", { message = text, identity = known }), "continue")
	equal(header("From"), '"js@example.org" (js@example.org) <jane.smith@example.org>')
	equal(header("To"), "admin@example.org, Bob <bob@example.net>, Root <admin@example.org>")
	equal(header("Cc", 1), "a@example.org")
	equal(header("Cc", 2), "b@example.org")
	equal(header("X-From"), "js@example.org")
end)

it("leaves the header of others as it is", function()
	run("message.change", { message = text, identity = "" })
	equal(header(), text)
end)

it("changes nothing where there is nothing to change", function()
	local plain = "From: a@example.net\r\nTo: b@example.net (c@inner.example.org)\r\n\r\n"
	run("message.change", { message = plain, identity = known })
	equal(header(), plain)
end)

it("is not held up by a header that means harm", function()
	for _, value in ipairs { ('"'):rep(3000), ("("):rep(3000), ("a."):rep(3000) .. "@", ('"\\'):rep(2000), ("a@"):rep(2000),
		("(\\"):rep(2000), ('"a'):rep(1001), "a@" .. ("."):rep(3000), '"\\' } do
		local said, failure = run("message.change", { message = "From: " .. value .. "\r\n\r\n", identity = known })
		equal(said, "continue", failure)
	end
end)

policy("scripts/rewrite.lua", { ['sender = "authenticated"'] = 'sender = "all"', ['recipient = "all"'] = 'recipient = "none"' },
	{ files = { canonical = table_text } })

it("does it for whom it is told to", function()
	run("envelope.sender", { sender = "js@example.org", identity = "" })
	equal(sender(), "jane.smith@example.org")
	equal(run("envelope.recipient", { recipient = "js@example.org" }), "continue")
end)
