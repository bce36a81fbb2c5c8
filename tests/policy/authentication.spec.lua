-- SPDX-License-Identifier: Apache-2.0
-- What scripts/authentication.lua promises.
policy("scripts/authentication.lua")

local text = "From: a@bank.test\r\nDate: Sat, 21 Nov 2026 20:43:00 +0000\r\n\r\nHello\r\n"

local function decide(auth, more)
	local fields = more or {}
	fields.message = text
	fields.auth = auth
	return run("message.decide", fields)
end

local function failing(policy, more)
	local auth = { dmarc = { result = "fail", policy = policy, domain = "bank.test" } }
	for name, check in pairs(more or {}) do
		auth[name] = check
	end
	return auth
end

it("lets good mail in", function()
	equal(decide({ spf = { result = "pass", domain = "bank.test" }, dkim = { result = "pass", { result = "pass", domain = "bank.test" } },
		dmarc = { result = "pass", policy = "reject", domain = "bank.test" } }), "continue")
	equal(decide({}), "continue")
end)

it("does what the owner of the domain wants", function()
	equal(decide(failing("reject")),
		"reject 550 5.7.1 neither SPF nor DKIM stands for bank.test, whose owner wants such mail refused (DMARC)")
	equal(decide(failing("quarantine")), "quarantine Junk")
	equal(decide(failing("none")), "continue")
end)

it("holds nothing against mail while DNS does not answer", function()
	for _, name in ipairs { "spf", "dkim", "dmarc", "arc" } do
		equal(decide({ [name] = { result = "temperror" } }), "continue")
	end
end)

it("leaves who logged in alone", function()
	equal(decide(failing("reject"), { identity = "alice@example.org" }), "continue")
end)

it("wants a From that says whom readers see", function()
	equal(decide({ dmarc = { result = "permerror", reason = "there are several From fields" } }),
		"reject 550 5.7.1 there are several From fields")
	equal(decide({ dmarc = { result = "permerror", policy = "none", reason = "the record has no policy From here" } }), "continue")
end)

it("only scores what SPF alone says", function()
	equal(decide({ spf = { result = "fail", domain = "bank.test" }, dmarc = { result = "none" } }), "continue")
end)

it("believes no seal by itself", function()
	equal(decide(failing("reject", { arc = { result = "pass", domain = "lists.test" } })):match("^reject 550"), "reject 550")
end)

policy("scripts/authentication.lua", { ["trusted_sealers = {}"] = 'trusted_sealers = { ["lists.test"] = true }',
	["dmarc_exempt = {}"] = 'dmarc_exempt = { "known.test" }', ['spf_fail = "score"'] = 'spf_fail = "reject"' })

it("believes the sealers that it is told to", function()
	equal(decide(failing("reject", { arc = { result = "pass", domain = "lists.test" } })), "continue")
	equal(decide(failing("reject", { arc = { result = "fail", domain = "lists.test" } })):match("^reject 550"), "reject 550")
	equal(decide(failing("reject", { arc = { result = "pass", domain = "other.test" } })):match("^reject 550"), "reject 550")
end)

it("knows domains that break signatures", function()
	equal(decide({ dmarc = { result = "fail", policy = "reject", domain = "known.test" } }), "continue")
	equal(decide({ dmarc = { result = "fail", policy = "reject", domain = "a.known.test" } }), "continue")
	equal(decide({ dmarc = { result = "fail", policy = "reject", domain = "unknown.test" } }):match("^reject 550"), "reject 550")
end)

it("refuses what SPF refuses, where it is asked to and DMARC says nothing", function()
	equal(decide({ spf = { result = "fail", domain = "bank.test" } }), "reject 550 5.7.23 this host may not send for bank.test (SPF)")
	equal(decide({ spf = { result = "fail", domain = "bank.test", explanation = "see bank.test/spf" } }), "reject 550 5.7.23 see bank.test/spf")
	equal(decide({ spf = { result = "fail", domain = "bank.test" }, dmarc = { result = "pass", policy = "reject", domain = "bank.test" } }), "continue")
	equal(decide({ spf = { result = "softfail", domain = "bank.test" } }), "continue")
end)
