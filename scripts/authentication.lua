-- SPDX-License-Identifier: Apache-2.0
-- What becomes of strangers' mail by what SPF, DKIM, DMARC and ARC have found out about it. It wants the
-- modules, each as it is:
--
--	module "spf" { }
--	module "dkim" { }
--	module "arc" { }
--	module "dmarc" { }
--	module "authentication_results" { }
--	policy { "scripts/authentication.lua" }
--
-- Where DNS does not answer nothing is known, and nothing is held against the mail.

local settings = {
	-- What the owner of the domain in From wants ("p=") where neither SPF nor DKIM stands for it:
	-- "reject", "quarantine", "score" (nothing is done, later hooks see it), by what he wants.
	dmarc = { reject = "reject", quarantine = "quarantine", none = "score" },

	-- Domains in From whose wish is not followed, those below them included: mailing lists and
	-- forwarders that break signatures, and that you know.
	dmarc_exempt = {},

	-- Servers whose ARC seal is believed: mail that was good when it came to them is good, although
	-- they changed it. Domains of their seals, in lower case: { ["lists.example.org"] = true }.
	trusted_sealers = {},

	-- From must be there once, with addresses of one domain: otherwise nobody knows whom readers see.
	bad_from = "reject",

	-- Where SPF says that a host may not send for the domain of MAIL FROM ("-all"), and DMARC says
	-- nothing about the mail: "reject", "score". Forwarded mail fails SPF, too.
	spf_fail = "score",

	-- Points for what is not refused; message.score is their sum.
	scores = { dmarc_fail = 4, spf_fail = 2, spf_softfail = 1, dkim_fail = 0.5, bad_from = 2 },

	-- Where mail is put that its owner wants set aside.
	mailbox = "Junk",
}

local function is_below(domain, parents)
	while domain and domain ~= "" do
		if parents[domain] then
			return true
		end
		domain = domain:match("^[^.]*%.(.*)$")
	end
	return false
end

local exempt = {}
for _, domain in ipairs(settings.dmarc_exempt) do
	exempt[domain:lower()] = true
end

local function act(what, message, name, code, text)
	if what == "reject" then
		return reject(550, code, text)
	end
	message:add_score(name, settings.scores[name] or 0)
	if what == "quarantine" then
		return quarantine(settings.mailbox)
	end
end

local function is_vouched_for(auth)
	return auth.arc and auth.arc.result == "pass" and settings.trusted_sealers[(auth.arc.domain or ""):lower()]
end

local function judge_dmarc(message, auth)
	local dmarc = auth.dmarc
	if dmarc.result == "permerror" and (dmarc.policy or "") == "" and (dmarc.reason or ""):find("From", 1, true) then
		return act(settings.bad_from, message, "bad_from", "5.7.1", dmarc.reason)
	end
	if dmarc.result ~= "fail" or is_below((dmarc.domain or ""):lower(), exempt) or is_vouched_for(auth) then
		return
	end
	local what = settings.dmarc[dmarc.policy] or "score"
	return act(what, message, "dmarc_fail", "5.7.1",
		"neither SPF nor DKIM stands for " .. dmarc.domain .. ", whose owner wants such mail refused (DMARC)")
end

on("message.decide", { name = "authentication", summary = "Follows what SPF, DKIM, DMARC and ARC found." },
	function(session, message)
		if session.is_authenticated then
			return
		end
		local auth = message.auth
		if auth.dkim and auth.dkim.result == "fail" then
			message:add_score("dkim_fail", settings.scores.dkim_fail or 0)
		end
		if auth.spf and auth.spf.result == "softfail" then
			message:add_score("spf_softfail", settings.scores.spf_softfail or 0)
		end
		if auth.dmarc then
			local verdict = judge_dmarc(message, auth)
			if verdict then
				return verdict
			end
		end
		local is_answered = auth.dmarc and (auth.dmarc.result == "pass" or auth.dmarc.result == "fail")
		if auth.spf and auth.spf.result == "fail" and not is_answered and not is_vouched_for(auth) then
			local why = auth.spf.explanation or ""
			return act(settings.spf_fail, message, "spf_fail", "5.7.23",
				why ~= "" and why or "this host may not send for " .. (auth.spf.domain or "that domain") .. " (SPF)")
		end
	end)
