-- SPDX-License-Identifier: Apache-2.0
-- Other addresses than were given: old names of people, inner domains that must not be seen outside.
-- Mention it in the configuration file,
--
--	policy "rewrite.lua"
--
-- and write a file `canonical` beside it, one address on each line:
--
--	js@example.org              jane.smith@example.org
--	@inner.example.org          @example.org
--	root@host-1.example.org     admin@example.org
--
-- What stands left becomes what stands right, once. "@DOMAIN" on both sides keeps what stands before
-- the "@"; user+tag@… is looked for with and without its tag, and keeps it. Signatures (DKIM) of others
-- do not survive a changed From: so fields are changed for who logged in, and nobody else.

local settings = {
	-- For whom: "all", "authenticated" or "none".
	sender = "authenticated",
	recipient = "all",
	header = "authenticated",

	-- The fields that are changed where the header is.
	fields = { "From", "Sender", "Reply-To", "To", "Cc" },
}

local canonical = table.open("canonical")

local function is_for(session, whom)
	return whom == "all" or whom == "authenticated" and session ~= nil and session.is_authenticated
end

-- The other address, or nil.
local function rewritten(address)
	local value, key = canonical:find_address(address)
	if not value then
		return nil
	end
	local local_part = address:match("^(.*)@")
	if value:sub(1, 1) == "@" then
		return local_part .. value
	end
	-- Found without its tag: the tag goes along.
	local tag = local_part and local_part:match("%+.*$")
	if tag and not key:find("+", 1, true) and key:sub(1, 1) ~= "@" then
		value = value:gsub("@", function() return tag .. "@" end, 1)
	end
	if value:lower() ~= address:lower() then
		return value
	end
end

on("envelope.sender", { order = "late", name = "sender", summary = "Another sender, by the table." },
function(session, message)
	local other = is_for(session, settings.sender) and message.sender ~= "" and rewritten(message.sender)
	if other then
		message:set_fact("rewrite.sender", message.sender)
		message:set_sender(other)
	end
end)

on("envelope.recipient", { order = "late", name = "recipient", summary = "Another recipient, by the table." },
function(session, recipient)
	local other = is_for(session, settings.recipient) and rewritten(recipient.address)
	if other then
		return redirect(other)
	end
end)

-- Quoted texts and comments are passed over (RFC 5322 section 3.2); what is left and looks like an
-- address is one. What has no end goes to the end, and an address is looked for at the beginning of
-- a word alone: otherwise time would be spent at each letter of what is none.
local pattern = [[("(?:[^"\\]|\\.?)*+(?:"|\z))|(\((?:[^()\\]|\\.?)*+(?:\)|\z))|((?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]++@[\w.-]*\w)]]

local function rewrite_field(value)
	return regex.gsub(value, pattern, function(quoted, comment, address)
		return address and rewritten(address)
	end)
end

on("message.change", { name = "header", summary = "Other addresses in the header, by the table." },
function(session, message)
	if not is_for(session, settings.header) then
		return
	end
	for _, name in ipairs(settings.fields) do
		local values = message:headers(name)
		-- From the last to the first: a field that was replaced is not counted any more.
		for index = #values, 1, -1 do
			local other = rewrite_field(values[index])
			if other ~= values[index] then
				message:replace_header(name, other, index)
			end
		end
	end
end)
