-- SPDX-License-Identifier: Apache-2.0
-- What scripts/routes.lua promises.
local table_text = [[
example.net      mx
.example.net     mx relay.example.net tls=verified
lists.example    hosts lists-1.example:25 lists-2.example:25 tls=required source=192.0.2.9
app.example      hosts unix:/run/app/mail transport=carrier
old.example      reject 5.1.2 this domain takes no mail any more
rude.example     reject no
sink.example     discard
moving.example   defer moving to another server
paper.example    hold
wrong.example    mxx
odd.example      mx one two
strange.example  mx tsl=verified
]]

policy("scripts/routes.lua", nil, { files = { routes = table_text }, transports = { "carrier" } })

local function asked(address, fields)
	fields = fields or {}
	fields.recipient = address
	return run("envelope.recipient", fields)
end

local function way(address)
	equal(run("recipient.route", { recipient = address }), "continue")
	return route()
end

it("takes mail for the domains of the table from everybody", function()
	equal(asked("a@example.net"), "accept")
	equal(asked("a@deep.below.example.net"), "accept")
	equal(asked("a@SINK.example"), "accept")
	equal(asked("a@example.com"), "continue")
	equal(asked("a@netexample.net"), "continue")
	equal(asked("a@old.example"), "reject 550 5.1.2 this domain takes no mail any more")
	equal(asked("a@rude.example"), "reject 550 5.7.1 no")
	equal(asked("a@moving.example"), "defer 450 4.7.1 moving to another server")
end)

it("says nothing about addresses that are served here", function()
	equal(asked("a@example.net", { is_local = true }), "continue")
	equal(run("recipient.route", { recipient = "a@example.net", is_local = true }), "continue")
	equal(route(), nil)
end)

it("sets the way", function()
	equal(way("a@example.net"), "example.net")
	equal(way("a@x.example.net"), "mx:relay.example.net;tls=verified")
	equal(way("a@lists.example"), "hosts:lists-1.example:25,lists-2.example:25;tls=required;source=192.0.2.9")
	equal(way("a@app.example"), "hosts:unix:/run/app/mail@carrier")
	equal(way("a@example.com"), nil)
end)

it("sets it again when no session is there any more", function()
	equal(run("recipient.route", { recipient = "a@x.example.net", no_session = true }), "continue")
	equal(route(), "mx:relay.example.net;tls=verified")
end)

it("disposes of mail as the table says", function()
	equal(run("recipient.route", { recipient = "a@sink.example" }), "discard routed to nowhere")
	equal(run("recipient.route", { recipient = "a@paper.example" }), "hold")
	equal(run("recipient.route", { recipient = "a@old.example" }), "reject 550 5.1.2 this domain takes no mail any more")
	equal(run("recipient.route", { recipient = "a@moving.example" }), "defer 450 4.7.1 moving to another server")
end)

it("defers where the table has a mistake, and says which", function()
	for address, words in pairs {
		["a@wrong.example"] = 'there is no way "mxx"',
		["a@odd.example"] = "mx has one name: one two",
		["a@strange.example"] = "routes: strange.example: there is no option tsl",
	} do
		local said, failure = run("recipient.route", { recipient = address })
		equal(said, "defer 451 4.3.0 local error in processing")
		assert(failure:find(words, 1, true), failure)
	end
end)

policy("scripts/routes.lua", { ["takes_from_strangers = true"] = "takes_from_strangers = false" },
	{ files = { routes = "example.net mx\n* hosts smarthost.example.com:587 tls=verified\n" } })

it("can leave strangers outside", function()
	equal(asked("a@example.net"), "continue")
	equal(asked("a@example.net", { identity = "bob@example.org" }), "accept")
end)

it("has a way for all the others, which takes mail from nobody", function()
	equal(asked("a@example.com"), "continue")
	equal(asked("a@example.com", { identity = "bob@example.org" }), "continue")
	equal(way("a@example.com"), "hosts:smarthost.example.com:587;tls=verified")
	equal(way("a@example.net"), "example.net")
end)
