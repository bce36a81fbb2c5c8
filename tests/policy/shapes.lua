-- SPDX-License-Identifier: Apache-2.0
-- Calls every function that a script can reach with arguments of every shape. Nothing is expected of
-- the calls but that they come back. Run by the unit tests, each time with another port as its seed.

local meta = { __index = function() return 1 end, __tostring = function() return "t" end, __lt = function() return true end,
	__eq = function() return true end, __concat = function() return "c" end, __len = function() return 3 end,
	__call = function(_, ...) return ... end, __pairs = function() return next, {} end }

local words = table.open("hostile/words")

local function everything(session, other)
	local message = session.message
	local functions = { assert, error, getmetatable, ipairs, next, pairs, pcall, rawequal, rawget, rawlen, rawset, select,
		setmetatable, tonumber, tostring, type, accept, continue, defer, discard, drop, greylist, hold, quarantine, redirect, reject,
		on, sleep, dns.lookup, dns.records, log.info, clock.now, clock.monotonic,
		string.byte, string.char, string.find, string.format, string.gmatch, string.gsub, string.len, string.lower, string.match,
		string.rep, string.reverse, string.sub, string.upper,
		table.concat, table.insert, table.move, table.pack, table.remove, table.sort, table.unpack,
		math.abs, math.ceil, math.floor, math.log, math.max, math.min, math.random, math.sqrt, math.tointeger, math.type,
		session.note, session.set_note,
		regex.find, regex.match, regex.test, regex.gmatch, regex.gsub, regex.escape, json.decode, json.encode, json.list,
		cache.rate, cache.get, cache.set, cache.add, cache.open, http.get, http.post, http.request, table.open,
		words.find, words.has, words.count, words.find_domain, words.find_address }
	for _, name in ipairs { "add_header", "add_score", "fact", "header", "headers", "note", "parameter", "remove_header",
		"replace_header", "set_fact", "set_note", "origin", "set_lifetime", "set_priority", "set_release", "set_sender", "set_tenant" } do
		if message then functions[#functions + 1] = message[name] end
	end
	for _, name in ipairs { "parameter", "set_flags", "set_mailbox", "secret_is", "expand", "route" } do
		local there, method = pcall(function() return other[name] end)
		if there then functions[#functions + 1] = method end
	end
	return functions
end

local function shapes(session, other)
	return { nil, true, false, 0, 1, -1, 2, 3, 255, 1000000, 1 << 31, math.maxinteger, math.mininteger, 0.5, -1.5, 1e308,
		math.huge, -math.huge, 0 / 0, "", "x", "%d %s %5.2f", "[a-z]+(.)%1", "(", "Subject", "a\0b\r\n", ("x"):rep(300),
		("a-"):rep(50), {}, { 1, 2, 3 }, { "c", "a", "b" }, setmetatable({}, meta), function(...) return ... end,
		function() error("x") end, session, other, session.message, reject(550), string, tostring, "1s", "A", "MX", 550, "5.7.1",
		words, json.null, json.list {}, { hosts = { "192.0.2.1:25" } }, { hosts = { 1, "x y", "[::1" }, tls = "verified" }, { mx = "example.net",
		source = "x" }, { account = true, hosts = {} }, { "a@example.net", "b@" }, "(a+)+$", "(?<n>\\d{3})", "[{\"a\":[1e999]}]", "ims",
		"http://example.org/", { url = "http://[", method = "GET\r\nX: y", headers = { ["A\nB"] = "c" }, timeout = "1s" },
		{ url = "http://example.org/", body = "x", headers = { A = "b\r\nC: d" } }, "10s" }, 61
end

local function hook(session, other)
	local state = session.port
	local function chance(limit)
		state = (state * 48271 + 11) % 2147483647
		return state % limit + 1
	end
	local functions, arguments, count = everything(session, other), shapes(session, other)
	for _ = 1, 400 do
		local call = functions[chance(#functions)]
		local own = chance(3) == 1 and session or (chance(2) == 1 and other) or arguments[chance(count)]
		pcall(call, own, arguments[chance(count)], arguments[chance(count)], arguments[chance(count)])
	end
	return continue()
end

on("message.headers", hook)
on("mailbox.deliver", hook)
on("auth.verify", hook)
