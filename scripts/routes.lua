-- SPDX-License-Identifier: Apache-2.0
-- Where mail goes, by the domain of its recipient, from a table of routes. What is in the table is
-- taken from everybody and relayed (a backup, a gateway in front of other servers). Mention it:
--
--	policy "routes.lua"
--
-- and write a file `routes` beside it, one domain on each line:
--
--	example.net      mx
--	.example.net     mx relay.example.net tls=verified
--	lists.example    hosts lists-1.example:25 lists-2.example:25 tls=required source=192.0.2.9
--	app.example      hosts unix:/run/app/mail transport=deliver_lmtp
--	old.example      reject 5.1.2 this domain takes no mail any more
--	sink.example     discard
--	moving.example   defer moving to another server, try again tomorrow
--	paper.example    hold
--	*                hosts smarthost.example.com:587 tls=verified
--
-- "mx" alone goes by the MX records of the recipient's domain, "mx NAME" by those of NAME. ".NAME" is
-- for all that is below NAME. "*" is for every other domain; it opens the door to nobody.

local settings = {
	-- Whether strangers may send to the domains of the table. Without it only those who logged
	-- in may, and the table says which way.
	takes_from_strangers = true,
}

local routes = table.open("routes")

-- { word =, rest =, options = { tls =, … } } of the text of a route.
local function parse(domain, text)
	local word, rest = text:match("^(%S+)%s*(.*)$")
	local route = { word = word, rest = rest, names = {}, options = {} }
	if word ~= "mx" and word ~= "hosts" then
		return route
	end
	for part in rest:gmatch("%S+") do
		local name, value = part:match("^(%l+)=(.+)$")
		if name then
			route.options[name] = value
		else
			route.names[#route.names + 1] = part
		end
	end
	for name in pairs(route.options) do
		if name ~= "tls" and name ~= "transport" and name ~= "source" then
			error("routes: " .. domain .. ": there is no option " .. name)
		end
	end
	return route
end

-- The route of a domain; `is_listed`: it is in the table by its name, not by "*".
local function find(domain)
	local text, key = routes:find_domain(domain)
	local is_listed = text ~= nil
	if not text then
		text, key = routes:find("*"), "*"
	end
	if text then
		return parse(key, text), is_listed
	end
end

-- Verdicts that a line of the table can stand for.
local function verdict_of(route)
	if route.word == "reject" then
		local enhanced, text = route.rest:match("^(5%.%d+%.%d+)%s*(.*)$")
		return reject(550, enhanced or "5.7.1", enhanced and text or route.rest)
	elseif route.word == "defer" then
		return defer(450, "4.7.1", route.rest)
	elseif route.word == "discard" then
		return discard(route.rest ~= "" and route.rest or "routed to nowhere")
	elseif route.word == "hold" then
		return hold()
	end
end

on("envelope.recipient", { order = "late", name = "relay", summary = "Takes mail for the domains of the table." },
function(session, recipient)
	if recipient.is_local then
		return
	end
	local route, is_listed = find(recipient.domain)
	if not is_listed then
		return
	end
	if route.word == "reject" or route.word == "defer" then
		return verdict_of(route)
	end
	if session.is_authenticated or settings.takes_from_strangers then
		return accept()
	end
end)

on("recipient.route", { name = "routes", summary = "Sets the way by the table." }, function(_, recipient)
	local route = not recipient.is_local and find(recipient.domain)
	if not route then
		return
	end
	if route.word == "mx" then
		if #route.names > 1 then
			error("routes: mx has one name: " .. route.rest)
		end
		recipient:route { mx = route.names[1], transport = route.options.transport, tls = route.options.tls,
			source = route.options.source }
	elseif route.word == "hosts" then
		recipient:route { hosts = route.names, transport = route.options.transport, tls = route.options.tls,
			source = route.options.source }
	else
		return verdict_of(route) or error("routes: there is no way \"" .. route.word .. "\"")
	end
end)
