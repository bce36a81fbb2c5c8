-- SPDX-License-Identifier: Apache-2.0
-- Addresses that stand for others: aliases with one or several targets, lists, catch-alls, whole
-- domains that are another's. Mention it in the configuration file,
--
--	policy "aliases.lua"
--
-- and write a file `aliases` beside it, one address on each line:
--
--	sales@example.org       alice, bob@example.net
--	@example.org            catchall@example.org
--	alice@example.org       alice@example.org
--	example.com             domain
--	@example.com            @example.org
--	noreply@example.org     DISCARD
--	gone@example.org        REJECT this address is no longer in use
--
-- A target without "@" is at the alias's own domain; "@DOMAIN" keeps what stands before the "@". An
-- address that is its own target ends the search: a catch-all leaves it alone. A domain alone on the
-- left is all in this table: what is not in it is refused. user+tag@… is looked for with and without
-- its tag. Targets may be aliases again. Longer lists go on in lines that begin with a space.

local settings = {
	-- What stands between name and tag.
	delimiter = "+",

	-- sales+x@… goes to alice+x@…; otherwise the tag is dropped.
	keep_tag = false,

	-- Aliases of aliases of aliases, at most so deep; and so many targets in all.
	max_depth = 10,
	max_targets = 1000,
}

local aliases = table.open("aliases")

local function split(address)
	return address:match("^(.*)@([^@]*)$")
end

-- The tag of an address, with its delimiter; "" where it has none.
local function tag_of(local_part)
	local at = local_part:find(settings.delimiter, 2, true)
	return at and local_part:sub(at) or ""
end

-- A target as a whole address. `address` is what was asked for, `key` what stands in the table.
local function complete(target, address, key)
	local local_part, domain = split(address)
	if target:sub(1, 1) == "@" then
		return local_part .. target
	end
	local name, target_domain = split(target)
	if not name then
		name, target_domain = target, domain
	end
	if settings.keep_tag and key:sub(1, 1) ~= "@" and not key:find(settings.delimiter, 1, true) then
		name = name .. tag_of(local_part)
	end
	return name .. "@" .. target_domain
end

-- Follows an address to its end. True, or a verdict that stands in the table.
local function follow(address, found, seen, depth)
	if seen[address:lower()] then
		return true
	end
	seen[address:lower()] = true
	local value, key = aliases:find_address(address, settings.delimiter)
	if value and depth > settings.max_depth then
		error("aliases: " .. address .. " leads on and on")
	end
	if not value then
		found[#found + 1] = address
		return true
	end
	local word, text = value:match("^(%u+)%s*(.*)$")
	if word == "DISCARD" then
		return "discard", text ~= "" and text or "alias"
	elseif word == "REJECT" then
		return "reject", text ~= "" and text or "this address takes no mail"
	end
	for target in value:gmatch("[^%s,]+") do
		local whole = complete(target, address, key)
		if whole:lower() == address:lower() then
			found[#found + 1] = address
		else
			local ended, why = follow(whole, found, seen, depth + 1)
			if ended ~= true then
				-- Of several targets, one that is disposed of is only left out.
				if not value:find(",", 1, true) then
					return ended, why
				end
				found.left_out = true
			end
		end
		if #found > settings.max_targets then
			error("aliases: " .. address .. " has more than " .. settings.max_targets .. " targets")
		end
	end
	return true
end

on("envelope.recipient", { name = "aliases", summary = "Aliases, lists and catch-alls from a table." },
function(_, recipient)
	local found = {}
	local ended, why = follow(recipient.address, found, {}, 1)
	if ended == "discard" then
		return discard(why)
	elseif ended == "reject" then
		return reject(550, "5.1.1", why)
	end
	if #found == 1 and found[1]:lower() == recipient.address:lower() then
		-- Nobody stands for it. In a domain that is all in the table that is the end.
		if aliases:has(recipient.domain) and not aliases:find_address(recipient.address, settings.delimiter) then
			return reject(550, "5.1.1", "no such address here")
		end
		return
	end
	if #found == 0 and not found.left_out then
		error("aliases: " .. recipient.address .. " goes round in a circle")
	elseif #found == 0 then
		return discard("an alias for nobody")
	end
	recipient:expand(found)
end)
