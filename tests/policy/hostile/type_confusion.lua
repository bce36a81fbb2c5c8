-- SPDX-License-Identifier: Apache-2.0
-- Every function with everything.
-- expect: continue
on("connection.open", function(session)
	local things = { 1, 1.5, "x", true, {}, function() end, session, reject(550), tostring, string }
	local functions = { session.note, session.set_note, dns.lookup, dns.records, sleep, log.info, reject,
		defer, discard, quarantine, redirect, clock.now, on, string.find, string.format, string.gsub,
		string.rep, table.concat, table.sort, table.insert, table.move, math.floor, setmetatable, next }
	for _, call in ipairs(functions) do
		for _, first in ipairs(things) do
			if call ~= sleep and call ~= dns.lookup and call ~= dns.records then
				pcall(call, first)
				for _, second in ipairs(things) do
					pcall(call, first, second, first)
				end
			end
		end
	end
	return continue()
end)
