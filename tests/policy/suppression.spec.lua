-- SPDX-License-Identifier: Apache-2.0
-- What scripts/suppression.lua promises.
local files = { suppressed = "gone@example.net\tasked us to stop\n@closed.example\tno more\n" }
policy("scripts/suppression.lua", nil, { files = files })

local there = "reject 550 5.7.1 no mail is sent to this address: "

local function name(address, fields)
	fields = fields or { identity = "bob@example.org" }
	fields.recipient = address
	return run("envelope.recipient", fields)
end

local function done(address, outcome, class, hop)
	return run("delivery.done", { recipient = address, delivery = { outcome = outcome, class = class, hop = hop or "mx.example.net",
		code = outcome == "delivered" and 250 or 550, text = "no such user" } })
end

it("refuses whom the table names", function()
	equal(name("gone@example.net"), there .. "asked us to stop")
	equal(name("Gone@Example.NET"), there .. "asked us to stop")
	equal(name("anybody@closed.example"), there .. "no more")
	equal(name("other@example.net"), "continue")
end)

it("refuses who was unknown some times", function()
	for _ = 1, 2 do
		done("ghost@example.net", "refused", "unknown_recipient")
		equal(name("ghost@example.net"), "continue")
	end
	done("ghost@example.net", "refused", "unknown_recipient")
	equal(name("ghost@example.net"), there .. "mx.example.net said 550 no such user")
	equal(name("GHOST@example.net"), there .. "mx.example.net said 550 no such user")
	equal(name("host@example.net"), "continue")
end)

it("forgets it after a time", function()
	for _ = 1, 3 do
		done("ghost@example.net", "refused", "unknown_recipient")
	end
	advance("91d")
	equal(name("ghost@example.net"), "continue")
end)

it("counts only within a time, and from anew after success", function()
	done("now@example.net", "refused", "unknown_recipient")
	done("now@example.net", "refused", "unknown_recipient")
	done("now@example.net", "delivered", "none")
	done("now@example.net", "refused", "unknown_recipient")
	done("now@example.net", "refused", "unknown_recipient")
	equal(name("now@example.net"), "continue")
	done("old@example.net", "refused", "unknown_recipient")
	done("old@example.net", "refused", "unknown_recipient")
	advance("31d")
	done("old@example.net", "refused", "unknown_recipient")
	equal(name("old@example.net"), "continue")
end)

it("does not count other refusals, nor our own", function()
	for _ = 1, 5 do
		done("a@example.net", "refused", "policy")
		done("a@example.net", "refused", "expired")
		done("a@example.net", "deferred", "mailbox")
		done("b@example.net", "refused", "unknown_recipient", "")
	end
	equal(name("a@example.net"), "continue")
	equal(name("b@example.net"), "continue")
end)

it("returns what waits, and leaves what is being accepted to the hook before", function()
	equal(run("recipient.route", { recipient = "gone@example.net", no_session = true }), there .. "asked us to stop")
	equal(run("recipient.route", { recipient = "gone@example.net" }), "continue")
	equal(run("recipient.route", { recipient = "other@example.net", no_session = true }), "continue")
end)

it("lets mail pass where the cache does not answer", function()
	cache_fails(true)
	equal(name("gone@example.net"), there .. "asked us to stop")
	equal(name("other@example.net"), "continue")
end)

it("leaves mailboxes of ours alone", function()
	equal(name("gone@example.net", { is_local = true }), "continue")
end)

policy("scripts/suppression.lua", { ["refusals = 3"] = "refusals = 0" }, { files = files, allow = {} })

it("needs no cache where only the table counts", function()
	done("ghost@example.net", "refused", "unknown_recipient")
	equal(name("ghost@example.net"), "continue")
	equal(name("gone@example.net"), there .. "asked us to stop")
	equal(run("recipient.route", { recipient = "gone@example.net", no_session = true }), there .. "asked us to stop")
end)
