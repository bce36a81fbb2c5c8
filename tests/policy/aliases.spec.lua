-- SPDX-License-Identifier: Apache-2.0
-- What scripts/aliases.lua promises.
local table_text = [[
sales@example.org       alice, bob@example.net
alice@example.org       alice@example.org
team@example.org        sales, carol, alice@example.org,
                        # somebody else's
                        dora@example.com
tagged+x@example.org    special@example.net
tagged@example.org      plain
one@example.net         two@example.net
two@example.net         one@example.net
virtual.example         domain
info@virtual.example    alice@example.org
example.com             domain
@example.com            @example.org
noreply@example.org     DISCARD
gone@example.org        REJECT this address is no longer in use
half@example.org        noreply, alice
none@example.org        noreply, gone
alone@example.org       noreply
a1@deep.example         a2@deep.example
a2@deep.example         a3@deep.example
a3@deep.example         a4@deep.example
a4@deep.example         a5@deep.example
]]

policy("scripts/aliases.lua", nil, { files = { aliases = table_text } })

local function goes_to(address)
	equal(run("envelope.recipient", { recipient = address }), "continue")
	return targets()
end

it("expands an alias to its targets", function()
	equal(goes_to("sales@example.org"), { "alice@example.org", "bob@example.net" })
	equal(goes_to("SALES@Example.ORG"), { "alice@example.org", "bob@example.net" })
end)

it("follows aliases of aliases, each target once", function()
	equal(goes_to("team@example.org"), { "alice@example.org", "bob@example.net", "carol@example.org", "dora@example.org" })
end)

it("leaves alone what is in no table, and what is its own target", function()
	equal(goes_to("bob@example.org"), nil)
	equal(goes_to("alice@example.org"), nil)
	equal(goes_to("alice+x@example.org"), { "alice@example.org" })
end)

it("knows subaddresses", function()
	equal(goes_to("tagged+x@example.org"), { "special@example.net" })
	equal(goes_to("tagged+y@example.org"), { "plain@example.org" })
	equal(goes_to("sales+news@example.org"), { "alice@example.org", "bob@example.net" })
end)

it("knows domains that are all in the table", function()
	equal(goes_to("info@virtual.example"), { "alice@example.org" })
	equal(run("envelope.recipient", { recipient = "nobody@virtual.example" }), "reject 550 5.1.1 no such address here")
end)

it("knows domains that are another's", function()
	equal(goes_to("carol@example.com"), { "carol@example.org" })
	equal(goes_to("sales@example.com"), { "alice@example.org", "bob@example.net" })
end)

it("disposes of mail as the table says", function()
	equal(run("envelope.recipient", { recipient = "noreply@example.org" }), "discard alias")
	equal(run("envelope.recipient", { recipient = "gone@example.org" }), "reject 550 5.1.1 this address is no longer in use")
	equal(run("envelope.recipient", { recipient = "alone@example.org" }), "discard alias")
	equal(run("envelope.recipient", { recipient = "none@example.org" }), "discard an alias for nobody")
	equal(goes_to("half@example.org"), { "alice@example.org" })
end)

it("defers where aliases go round in a circle", function()
	local said, failure = run("envelope.recipient", { recipient = "one@example.net" })
	equal(said, "defer 451 4.3.0 local error in processing")
	assert(failure:find("one@example.net goes round in a circle", 1, true), failure)
end)

it("does not send mail round by itself to an address that is only looked for", function()
	equal(goes_to("a1@deep.example"), { "a5@deep.example" })
end)

policy("scripts/aliases.lua", {
	["keep_tag = false"] = "keep_tag = true",
	["max_depth = 10"] = "max_depth = 3",
	["max_targets = 1000"] = "max_targets = 2",
}, { files = { aliases = table_text .. "@example.org catchall@example.org\n" } })

it("has a catch-all, which leaves alone what is its own target", function()
	equal(goes_to("whoever@example.org"), { "catchall@example.org" })
	equal(goes_to("alice@example.org"), nil)
end)

it("keeps tags when told so", function()
	equal(goes_to("sales+news@example.org"), { "alice+news@example.org", "bob+news@example.net" })
	equal(goes_to("tagged+x@example.org"), { "special@example.net" })
end)

it("defers what leads on and on, and what is too many", function()
	local said, failure = run("envelope.recipient", { recipient = "a1@deep.example" })
	equal(said, "defer 451 4.3.0 local error in processing")
	assert(failure:find("a4@deep.example leads on and on", 1, true), failure)
	said, failure = run("envelope.recipient", { recipient = "team@example.org" })
	assert(failure:find("more than 2 targets", 1, true), failure)
end)
