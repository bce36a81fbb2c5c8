-- SPDX-License-Identifier: Apache-2.0
-- Everything that can be called, with everything that it cannot be called with.
-- expect: continue
local words = table.open("words")
local libraries = {
	{ string, "byte char find format gmatch gsub len lower match rep reverse sub upper" },
	{ table, "concat insert move open pack remove sort unpack" },
	{ math, "abs ceil floor log max min random sqrt tointeger type" },
	{ log, "debug info notice warning error" },
	{ regex, "escape find gmatch gsub match test" },
	{ json, "decode encode list" },
	{ dns, "lookup records" },
	{ http, "get post request" },
	{ cache, "add get open rate set" },
	{ words, "count find find_address find_domain has" },
}
local single = { accept, reject, defer, drop, discard, quarantine, hold, redirect, greylist, sleep, on, assert, getmetatable, ipairs,
	next, pairs, pcall, rawequal, rawget, rawlen, rawset, select, setmetatable, tonumber, tostring, type }

on("connection.open", function(session)
	local values = { session, words, json.null, {}, json.list {}, true, 0 / 0, -1, "x", "\0", function() end, regex.gmatch("a", "a") }
	local methods = { session.note, session.set_note }
	for _, each in ipairs(methods) do
		single[#single + 1] = each
	end
	for _, library in ipairs(libraries) do
		for name in library[2]:gmatch("%S+") do
			single[#single + 1] = library[1][name]
		end
	end
	for _, call in ipairs(single) do
		pcall(call)
		for _, value in ipairs(values) do
			pcall(call, value)
			if call ~= pcall then
				pcall(call, value, value)
				pcall(call, value, value, value)
			end
		end
	end
	-- Verdicts that were made and not returned would be a failure.
	return continue()
end)
