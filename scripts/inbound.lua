-- SPDX-License-Identifier: Apache-2.0
-- What a gateway asks of strangers that bring mail: little, and nothing that honest servers get
-- wrong. It changes no message. Mention it in the configuration file:
--
--	policy { "scripts/inbound.lua", allow = { "dns" } }

local settings = {
	-- Listeners' instances that strangers talk to. Others are left alone.
	instances = { mx = true },

	-- Zones of DNS block lists, asked for IPv4 and IPv6 clients. None by default: choose those
	-- whose rules you have read, for example { "zen.spamhaus.org" }.
	block_lists = {},

	-- RFC 5322 section 3.6 wants exactly one From and one Date. Many small programs forget
	-- them: "score" notes it for later hooks, "reject" refuses.
	missing_fields = "score",
}

local function is_stranger(session)
	return settings.instances[session.instance] and not session.is_authenticated
end

---- the name that a client gives itself ----

-- The address of the listener where it has one of its own: "203.0.113.5" of "203.0.113.5:25".
local function own_address(session)
	local address = session.listener:match("^%[(.+)%]:%d+$") or session.listener:match("^(.+):%d+$")
	if address ~= "0.0.0.0" and address ~= "::" then
		return address
	end
end

-- RFC 5321 section 4.1.1.1: a domain name or an address in brackets. Underscores are common.
local function is_possible_name(name)
	if name:find("^%[[%x.:]+%]$") or name:find("^%[IPv6:[%x.:]+%]$") then
		return true
	end
	return #name <= 255 and name:find("^[%w_]") and not name:find("[^%w%._-]")
		and not name:find("..", 1, true)
end

on("client.hello", { name = "hello", summary = "Refuses impossible names, and ours." }, function(session)
	if not is_stranger(session) then
		return
	end
	local name = session.hello:lower()
	if not is_possible_name(session.hello) then
		return reject(550, "5.5.2", "that is no name for a mail server")
	end
	if session.is_loopback then
		return -- our own programs may well use our name
	end
	local own = own_address(session)
	if name == session.hostname:lower() or (own and (name == own or name == "[" .. own .. "]")) then
		return reject(550, "5.7.1", "that is my name, not yours")
	end
end)

---- DNS block lists ----

-- "192.0.2.1" becomes "1.2.0.192"; IPv6 becomes its 32 nibbles from the end. nil for neither.
local function reversed(address)
	local a, b, c, d = address:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
	if a then
		return table.concat({ d, c, b, a }, ".")
	end
	local head, tail = address:match("^(.-)::(.*)$")
	if not head then
		head, tail = address, ""
	end
	local groups, behind = {}, {}
	for group in head:gmatch("%x+") do
		groups[#groups + 1] = group
	end
	for group in tail:gmatch("%x+") do
		behind[#behind + 1] = group
	end
	if address:find("[^%x:]") or #groups + #behind > 8 or #groups + #behind == 0 then
		return nil
	end
	for _ = 1, 8 - #groups - #behind do
		groups[#groups + 1] = "0"
	end
	for _, group in ipairs(behind) do
		groups[#groups + 1] = group
	end
	local nibbles = {}
	for _, group in ipairs(groups) do
		nibbles[#nibbles + 1] = ("0"):rep(4 - #group) .. group
	end
	return (table.concat(nibbles):reverse():gsub(".", "%0."):sub(1, -2))
end

-- The first list that the client is on, asked once in a session; "" where it is on none.
local function listed_in(session)
	local known = session:note("inbound.listed")
	if known then
		return known
	end
	local name, found = reversed(session.peer), ""
	for _, zone in ipairs(name and settings.block_lists or {}) do
		local values = dns.lookup(name .. "." .. zone, "A")
		-- Lists answer within 127.0.0.0/8; 127.255.255.x means that the question was refused.
		if values and values[1]:find("^127%.") and not values[1]:find("^127%.255%.255%.") then
			found = zone
			break
		end
	end
	session:set_note("inbound.listed", found)
	return found
end

on("envelope.recipient", { name = "recipient", summary = "Asks block lists; a bounce has one recipient." },
function(session, recipient)
	if not is_stranger(session) then
		return
	end
	-- RFC 5321 section 4.5.5: what has a null sender answers one message, for one address.
	local message = session.message
	if message.sender == "" and message.recipient_count > 0 then
		return reject(550, "5.7.1", "a message without a sender has one recipient")
	end
	-- Who is listed must be able to ask why (RFC 5321 section 4.5.1).
	if #settings.block_lists == 0 or session.is_loopback or recipient.local_part:lower() == "postmaster" then
		return
	end
	local zone = listed_in(session)
	if zone ~= "" then
		return reject(550, "5.7.1", "your address " .. session.peer .. " is listed in " .. zone)
	end
end)

---- the header ----

on("message.headers", { name = "header", summary = "Wants one From and one Date." }, function(session, message)
	if not is_stranger(session) then
		return
	end
	local froms, dates = #message:headers("From"), #message:headers("Date")
	-- With two of them nobody knows which one people will be shown.
	if froms > 1 then
		return reject(554, "5.6.0", "the message has more than one From field")
	end
	if settings.missing_fields == "reject" and (froms == 0 or dates ~= 1) then
		return reject(554, "5.6.0", "the message needs one From field and one Date field")
	end
	if froms == 0 then
		message:add_score("inbound.no_from", 1)
	end
	if dates ~= 1 then
		message:add_score("inbound.no_single_date", 1)
	end
end)
