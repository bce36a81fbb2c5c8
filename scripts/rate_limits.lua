-- SPDX-License-Identifier: Apache-2.0
-- How much one may send in a time: a stolen password, a broken program and a flood are found by how
-- much they want. It counts in a cache:
--
--	module "cache_local" { }
--	policy { "rate_limits.lua", allow = { "cache" } }

local settings = {
	-- what:  "connections", "messages" (MAIL FROM) or "recipients" (RCPT TO)
	-- by:    "peer" (the client's address), "identity" (who logged in), "sender" or "sender_domain"
	-- limit: so many in a period; it begins with the first one
	-- who:   "strangers" or "authenticated"
	-- text:  what is said; it is always "not now"
	limits = {
		{ what = "connections", by = "peer", limit = 60, period = "1m", who = "strangers",
			text = "too many connections, come again in a minute" },
		{ what = "messages", by = "peer", limit = 500, period = "1h", who = "strangers",
			text = "too many messages from your address" },
		{ what = "messages", by = "identity", limit = 300, period = "1h", who = "authenticated",
			text = "you have sent too many messages, go on in an hour" },
		{ what = "recipients", by = "identity", limit = 2000, period = "1d", who = "authenticated",
			text = "you have sent to too many recipients, go on tomorrow" },
	},

	-- Other limits for some: keys are addresses, or identities. false: no limit.
	exceptions = {
		-- ["newsletter@example.org"] = 100000,
		-- ["192.0.2.9"] = false,
	},

	-- What our own machine does is its own affair.
	counts_loopback = false,
}

local function key_of(limit, session, message)
	if limit.by == "peer" then
		return session.peer
	elseif limit.by == "identity" then
		return session.identity:lower()
	elseif limit.by == "sender" then
		return message and message.sender:lower()
	elseif limit.by == "sender_domain" then
		return message and message.sender_domain:lower()
	end
	error("rate_limits: there is no \"" .. tostring(limit.by) .. "\" to count by")
end

-- The first limit that is reached, or nil. Every one that concerns it is counted.
local function reached(what, session, message)
	if session.is_loopback and not settings.counts_loopback then
		return
	end
	local who = session.is_authenticated and "authenticated" or "strangers"
	for _, limit in ipairs(settings.limits) do
		local key = limit.what == what and limit.who == who and key_of(limit, session, message)
		if key and key ~= "" then
			local most = settings.exceptions[key]
			if most == nil then
				most = limit.limit
			end
			if most and not cache.rate(("rate:%s:%s:%s"):format(what, limit.by, key), most, limit.period) then
				return limit
			end
		end
	end
end

on("connection.open", { name = "connections", summary = "Counts connections." }, function(session)
	local limit = reached("connections", session)
	if limit then
		return defer(421, "4.7.0", limit.text)
	end
end)

on("envelope.sender", { name = "messages", summary = "Counts messages." }, function(session, message)
	local limit = reached("messages", session, message)
	if limit then
		return defer(450, "4.7.1", limit.text)
	end
end)

on("envelope.recipient", { name = "recipients", summary = "Counts recipients." }, function(session)
	local limit = reached("recipients", session, session.message)
	if limit then
		return defer(450, "4.7.1", limit.text)
	end
end)
