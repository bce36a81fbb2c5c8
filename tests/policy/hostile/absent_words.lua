-- SPDX-License-Identifier: Apache-2.0
-- What is not on the list is absent.
-- expect: continue
on("connection.open", function(session)
	for _, word in ipairs { "load", "loadstring", "loadfile", "dofile", "require", "package", "io",
			"os", "debug", "coroutine", "collectgarbage", "xpcall", "print", "_G", "utf8", "warn" } do
		local there = pcall(function() return _ENV[word] end)
		assert(not there, word)
	end
end)
