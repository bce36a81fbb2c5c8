-- SPDX-License-Identifier: Apache-2.0
-- What scripts/inbound.lua promises.
policy("scripts/inbound.lua")

local good = "From: a@example.net\r\nDate: Sat, 21 Nov 2026 20:43:00 +0000\r\n\r\n"

it("takes usual names", function()
	for _, name in ipairs { "mail.example.net", "localhost", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a_b-c.test", "HOST" } do
		equal(run("client.hello", { hello = name }), "continue")
	end
end)

it("refuses impossible names", function()
	for _, name in ipairs { "", "two words", "a..b", "-x", "<x>", "a@b", "[mail.example]", ("x"):rep(256), "x\27" } do
		equal(run("client.hello", { hello = name }), "reject 550 5.5.2 that is no name for a mail server")
	end
end)

it("refuses our own name and address from outside", function()
	local refusal = "reject 550 5.7.1 that is my name, not yours"
	equal(run("client.hello", { hello = "MX.example.org" }), refusal)
	equal(run("client.hello", { hello = "[203.0.113.5]", listener = "203.0.113.5:25" }), refusal)
	equal(run("client.hello", { hello = "203.0.113.5", listener = "203.0.113.5:25" }), refusal)
	equal(run("client.hello", { hello = "203.0.113.5", listener = "0.0.0.0:25" }), "continue")
	equal(run("client.hello", { hello = "mx.example.org", is_loopback = true }), "continue")
end)

it("leaves other instances alone", function()
	equal(run("client.hello", { hello = "two words", instance = "submission" }), "continue")
end)

it("leaves who logged in alone", function()
	equal(run("message.headers", { identity = "alice@example.org", message = "\r\n" }), "continue")
	equal(run("message.headers", { identity = "alice@example.org", message = "From: a\r\nFrom: b\r\n\r\n" }), "continue")
end)

it("lets a bounce have one recipient", function()
	equal(run("envelope.recipient", { sender = "", recipients = {}, recipient = "alice@example.org" }), "continue")
	equal(run("envelope.recipient", { sender = "", recipients = { "alice@example.org" }, recipient = "bob@example.org" }),
		"reject 550 5.7.1 a message without a sender has one recipient")
	equal(run("envelope.recipient", { sender = "x@example.net", recipients = { "alice@example.org" }, recipient = "bob@example.org" }),
		"continue")
end)

it("asks no list by default", function()
	equal(run("envelope.recipient", { recipients = {}, recipient = "alice@example.org" }), "continue")
	equal(questions(), 0)
end)

it("refuses two From fields and scores what is missing", function()
	equal(run("message.headers", { message = good }), "continue")
	equal(score(), 0)
	equal(run("message.headers", { message = "From: b@example.net\r\n" .. good }),
		"reject 554 5.6.0 the message has more than one From field")
	equal(run("message.headers", { message = "Subject: x\r\n\r\n" }), "continue")
	equal(score(), 2)
end)

-- The same file with another table at its top.
policy("scripts/inbound.lua", {
	["block_lists = {},"] = 'block_lists = { "first.test", "second.test" },',
	['missing_fields = "score"'] = 'missing_fields = "reject"',
})

it("refuses clients that a list names", function()
	dns("1.2.0.192.second.test", "A", "127.0.0.2")
	equal(run("envelope.recipient", { recipients = {}, recipient = "alice@example.org" }),
		"reject 550 5.7.1 your address 192.0.2.1 is listed in second.test")
	equal(questions(), 2)
end)

it("asks lists once in a session", function()
	equal(run("envelope.recipient", { recipients = {}, recipient = "alice@example.org" }), "continue")
	equal(run("envelope.recipient", { recipients = {}, recipient = "alice@example.org" }), "continue")
	equal(questions(), 2)
end)

it("asks lists for IPv6 clients", function()
	dns("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.first.test", "A", "127.0.0.4")
	equal(run("envelope.recipient", { peer = "2001:db8::1", recipients = {}, recipient = "alice@example.org" }),
		"reject 550 5.7.1 your address 2001:db8::1 is listed in first.test")
end)

it("does not believe answers that are no listing", function()
	dns("1.2.0.192.first.test", "A", "127.255.255.254")
	dns("1.2.0.192.second.test", "A", "192.0.2.80")
	equal(run("envelope.recipient", { recipients = {}, recipient = "alice@example.org" }), "continue")
end)

it("goes on when a list does not answer", function()
	dns("1.2.0.192.first.test", "A", false)
	equal(run("envelope.recipient", { recipients = {}, recipient = "alice@example.org" }), "continue")
end)

it("lets everybody write to postmaster, and asks nothing of ourselves", function()
	dns("1.2.0.192.first.test", "A", "127.0.0.2")
	equal(run("envelope.recipient", { recipients = {}, recipient = "Postmaster@example.org" }), "continue")
	equal(run("envelope.recipient", { is_loopback = true, recipients = {}, recipient = "alice@example.org" }), "continue")
	equal(run("envelope.recipient", { peer = "unix", is_loopback = false, recipients = {}, recipient = "alice@example.org" }), "continue")
end)

it("refuses missing fields when told so", function()
	equal(run("message.headers", { message = good }), "continue")
	equal(run("message.headers", { message = "From: a@example.net\r\n\r\n" }),
		"reject 554 5.6.0 the message needs one From field and one Date field")
end)
