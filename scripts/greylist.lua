-- SPDX-License-Identifier: Apache-2.0
-- Greylisting: who brings mail for the first time is asked to come again. Mail servers do, much of
-- what sends spam does not. It delays the first mail of every stranger, so try it with
-- { mode = "shadow" } first. It remembers in a cache:
--
--	module "cache_local" { }
--	policy { "greylist.lua", allow = { "cache" } }

local settings = {
	-- Listeners' instances that strangers talk to.
	instances = { mx = true },

	-- Who comes again sooner is asked once more; who does not come again within `window` is
	-- forgotten, and who did is known for so long.
	delay = 5 * 60,
	window = "1d",
	known = "36d",

	-- A network that passed so often is not asked again. 0: always.
	network_passes = 5,
}

-- Servers of one operator share their queues: the network counts, not the address.
local function network_of(peer)
	local network = peer:match("^(%d+%.%d+%.%d+)%.%d+$")
	if network then
		return network
	end
	local groups = {}
	for group in (peer:match("^(.-)::") or peer):gmatch("%x+") do
		groups[#groups + 1] = group
	end
	return table.concat(groups, ":", 1, math.min(4, #groups))
end

on("envelope.recipient", { order = "late", name = "greylist", summary = "Asks strangers to come again." },
function(session, recipient)
	if not settings.instances[session.instance] or session.is_authenticated or session.is_loopback then
		return
	end
	local network = network_of(session.peer)
	if settings.network_passes > 0 and tonumber(cache.get("greylist.network:" .. network) or 0) >= settings.network_passes then
		return
	end
	local key = ("greylist:%s|%s|%s"):format(network, session.message.sender:lower(), recipient.address:lower())
	local first = cache.get(key)
	if not first then
		cache.set(key, ("%d"):format(clock.now() // 1), settings.window)
		return greylist()
	end
	if first ~= "known" then
		if clock.now() - tonumber(first) < settings.delay then
			return greylist()
		end
		cache.add("greylist.network:" .. network, 1, settings.known)
	end
	cache.set(key, "known", settings.known)
end)
