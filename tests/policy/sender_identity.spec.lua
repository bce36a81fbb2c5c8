-- SPDX-License-Identifier: Apache-2.0
-- What scripts/sender_identity.lua promises.
policy("scripts/sender_identity.lua")

local alice = "alice@example.org"
local not_sender = "reject 553 5.7.1 you are alice@example.org and cannot send as "
local not_from = "reject 550 5.7.1 you are alice@example.org and cannot write as somebody else in the From field"
local unreadable = "reject 554 5.6.0 the From field of the message cannot be read"

local function from(value)
	return run("message.headers", { identity = alice, message = "From: " .. value .. "\r\n\r\n" })
end

it("lets everybody send as himself", function()
	for _, sender in ipairs { alice, "Alice@Example.org", "alice+list@example.org", "" } do
		equal(run("envelope.sender", { identity = alice, sender = sender }), "continue")
	end
end)

it("refuses other senders", function()
	for _, sender in ipairs { "bob@example.org", "alice@example.net", "alicex@example.org", "xalice@example.org" } do
		equal(run("envelope.sender", { identity = alice, sender = sender }), not_sender .. sender)
	end
end)

it("says nothing about who did not log in", function()
	equal(run("envelope.sender", { sender = "bob@example.org" }), "continue")
	equal(run("message.headers", { message = "From: bob@example.org\r\n\r\n" }), "continue")
end)

it("takes every way to write one's own address", function()
	for _, value in ipairs {
		"alice@example.org", "Alice <alice@example.org>", "<alice@example.org>", "\"Bob <bob@example.org>\" <alice@example.org>",
		"(bob@example.org) alice@example.org", "(a (b) c) alice@example.org", "Alice (a \\) b) < alice@example.org >", "=?utf-8?q?Al?= <ALICE@example.org>",
		"Us: alice@example.org, <alice+x@example.org>;", "alice@example.org,", "\"a\\\"b\" <alice@example.org>",
	} do
		equal(from(value), "continue")
	end
end)

it("refuses somebody else's", function()
	for _, value in ipairs {
		"bob@example.org", "Alice <bob@example.org>", "alice@example.org, bob@example.org",
		"Us: alice@example.org, Bob <bob@example.org>;", "(alice@example.org) bob@example.org",
		"\"alice@example.org\" <bob@example.org>",
	} do
		equal(from(value), not_from)
	end
end)

it("refuses what can be read in two ways", function()
	for _, value in ipairs {
		"", "Alice", "alice@example.org bob@example.org", "alice@example.org <bob@example.org>",
		"<alice@example.org> <bob@example.org>", "<alice@example.org> bob@example.org", "<alice@example.org",
		"alice@example.org>", "\"alice@example.org", "(alice@example.org", "alice@example.org)", "\"a b\"@example.org",
		"bob@example.org@alice@example.org", "bob@example.org <alice@example.org>", "<>", "Us:;",
	} do
		local outcome = from(value)
		equal(outcome == unreadable or outcome == not_from, true, value .. ": " .. outcome)
	end
end)

it("refuses two From fields, and a Sender that is somebody else", function()
	equal(run("message.headers", { identity = alice, message = "From: alice@example.org\r\nFrom: alice@example.org\r\n\r\n" }),
		"reject 554 5.6.0 the message has more than one From field")
	equal(run("message.headers", { identity = alice, message = "From: alice@example.org\r\nSender: bob@example.org\r\n\r\n" }),
		"reject 550 5.7.1 you are alice@example.org and cannot write as somebody else in the Sender field")
	equal(run("message.headers", { identity = alice, message = "From: alice@example.org\r\nSender: alice@example.org\r\n\r\n" }),
		"continue")
end)

it("takes a message without From: that is for others to judge", function()
	equal(run("message.headers", { identity = alice, message = "Subject: x\r\n\r\n" }), "continue")
end)

policy("scripts/sender_identity.lua", {
	['-- ["alice@example.org"] = { "sales@example.org", "@alice.example" },'] =
		'["alice@example.org"] = { "sales@example.org", "@alice.example" },',
	["details_are_allowed = true"] = "details_are_allowed = false",
})

it("knows further identities", function()
	equal(run("envelope.sender", { identity = alice, sender = "Sales@example.org" }), "continue")
	equal(run("envelope.sender", { identity = alice, sender = "x@alice.example" }), "continue")
	equal(run("envelope.sender", { identity = "bob@example.org", sender = "sales@example.org" }),
		"reject 553 5.7.1 you are bob@example.org and cannot send as sales@example.org")
	equal(from("x@alice.example"), "continue")
	equal(from("x@malice.example"), not_from)
end)

it("can refuse details", function()
	equal(run("envelope.sender", { identity = alice, sender = "alice+x@example.org" }), not_sender .. "alice+x@example.org")
end)
