-- SPDX-License-Identifier: Apache-2.0
-- Who logged in may only send as himself: MAIL FROM, and the From and Sender fields, must be his
-- own address, or one that the table below gives him. Mention it in the configuration file:
--
--	policy "scripts/sender_identity.lua"

-- Further addresses of an identity. "@example.org" stands for every address of that domain.
local identities = {
	-- ["alice@example.org"] = { "sales@example.org", "@alice.example" },
}

-- Whether alice may write as alice+anything.
local details_are_allowed = true

---- who may be whom ----

local function without_detail(address)
	return (address:gsub("%+[^@]*@", "@", 1))
end

local function may_be(identity, address)
	address, identity = address:lower(), identity:lower()
	if address == identity or (details_are_allowed and without_detail(address) == identity) then
		return true
	end
	local domain = address:match("@[^@]*$")
	for _, other in ipairs(identities[identity] or {}) do
		if other:lower() == address or other:lower() == domain then
			return true
		end
	end
	return false
end

---- addresses in a field (RFC 5322 section 3.4) ----

-- The text without comments and quoted strings (a '"' stands for one), or nil where one of them does
-- not end. A quoted local part cannot belong to anybody here, and so its address is refused.
local function without_comments(value)
	local out, depth, at = {}, 0, 1
	while at <= #value do
		local byte = value:sub(at, at)
		if byte == "\\" then
			at = at + 1
		elseif byte == "(" then
			depth = depth + 1
		elseif byte == ")" then
			if depth == 0 then
				return nil
			end
			depth = depth - 1
		elseif depth == 0 and byte == '"' then
			local stop = at + 1
			while value:sub(stop, stop) ~= '"' do
				if stop > #value then
					return nil
				end
				stop = stop + (value:sub(stop, stop) == "\\" and 2 or 1)
			end
			out[#out + 1] = '"'
			at = stop
		elseif depth == 0 then
			out[#out + 1] = byte
		end
		at = at + 1
	end
	return depth == 0 and table.concat(out) or nil
end

-- The addresses of a field: a list, or nil where it is not clear what they are.
local function addresses_of(value)
	local text, list = without_comments(value), {}
	if not text then
		return nil
	end
	-- A group: "name: a, b;". Its name is no address.
	text = text:gsub("[^,;:<>]*:", ""):gsub(";", ",")
	for part in (text .. ","):gmatch("([^,]*),") do
		local name, address, rest = part:match("^([^<>]*)<%s*([^<>]-)%s*>(.*)$")
		if not address then
			name, address, rest = "", part:match("^%s*(.-)%s*$"), ""
		end
		if address ~= "" or name:find("%S") then
			if rest:find("%S") or name:find("@", 1, true) or not address:find("^[^%s@<>\"]+@[^%s@<>\"]+$") then
				return nil
			end
			list[#list + 1] = address
		end
	end
	return list
end

---- the hooks ----

on("envelope.sender", { name = "envelope", summary = "MAIL FROM belongs to the identity." },
function(session, message)
	-- The null sender is for notifications that a mail program sends (RFC 8098 section 2.1).
	if not session.is_authenticated or message.sender == "" then
		return
	end
	if not may_be(session.identity, message.sender) then
		return reject(553, "5.7.1", "you are " .. session.identity .. " and cannot send as " .. message.sender)
	end
end)

local function check_field(session, message, name)
	local fields = message:headers(name)
	if #fields > 1 then
		return reject(554, "5.6.0", "the message has more than one " .. name .. " field")
	end
	local list = fields[1] and addresses_of(fields[1]) or {}
	if fields[1] and #list == 0 then
		return reject(554, "5.6.0", "the " .. name .. " field of the message cannot be read")
	end
	for _, address in ipairs(list) do
		if not may_be(session.identity, address) then
			return reject(550, "5.7.1", "you are " .. session.identity
				.. " and cannot write as somebody else in the " .. name .. " field")
		end
	end
end

on("message.headers", { name = "header", summary = "From and Sender belong to the identity." },
function(session, message)
	if not session.is_authenticated then
		return
	end
	return check_field(session, message, "From") or check_field(session, message, "Sender")
end)
