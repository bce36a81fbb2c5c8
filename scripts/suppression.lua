-- SPDX-License-Identifier: Apache-2.0
-- Addresses elsewhere that get no mail from here: those of a table, and those whose servers said some
-- times that there is nobody. Who goes on writing to them is taken for a spammer there. Mention it:
--
--	module "cache_local" { }
--	policy { "suppression.lua", allow = { "cache" } }
--
-- and write a file `suppressed` beside it (it may be empty), an address or a domain on each line, and
-- why:
--
--	gone@example.net     asked us in May to stop
--	@closed.example      the company is no more
--
-- Who logged in hears of it when he names the recipient; what waits already goes back to its sender.

local settings = {
	-- An address that was refused so often as unknown, within that time, and when that is forgotten.
	-- 0: only the table counts. One message that arrives sets it right.
	refusals = 3,
	within = "30d",
	lasts = "90d",
}

local suppressed = table.open("suppressed")

-- Why it gets no mail; or nil.
local function reason_of(address)
	local reason = suppressed:find_address(address)
	if not reason and settings.refusals > 0 then
		reason = cache.get("suppressed:" .. address)
	end
	return reason
end

local function refuse(recipient)
	local reason = reason_of(recipient.address:lower())
	if reason then
		return reject(550, "5.7.1", ("no mail is sent to this address: %s"):format(reason))
	end
end

on("envelope.recipient", { order = "late", name = "suppression", on_error = "continue",
	summary = "Refuses recipients elsewhere that do not want mail from here, or are not there." },
function(_, recipient)
	if not recipient.is_local then
		return refuse(recipient)
	end
end)

on("recipient.route", { name = "suppression at an attempt", on_error = "continue",
	summary = "Returns mail that waits for such recipients." },
function(session, recipient)
	if not session and not recipient.is_local then
		return refuse(recipient)
	end
end)

on("delivery.done", { name = "suppression learns", summary = "Counts refusals of recipients who are unknown." },
function(_, delivery, recipient)
	if settings.refusals == 0 or delivery.hop == "" then
		return
	end
	local address = recipient.address:lower()
	if delivery.outcome == "delivered" then
		if cache.get("suppression:" .. address) then
			cache.set("suppression:" .. address, "0", settings.within)
		end
	elseif delivery.outcome == "refused" and delivery.class == "unknown_recipient" and
		cache.add("suppression:" .. address, 1, settings.within) >= settings.refusals then
		local reason = ("%s said %d %s"):format(delivery.hop, delivery.code, delivery.text)
		cache.set("suppressed:" .. address, reason:sub(1, 120), settings.lasts)
		log.notice("no more mail is sent to " .. address .. ": " .. reason)
	end
end)
