-- SPDX-License-Identifier: Apache-2.0
-- There is nothing that loads code.
-- expect: failed: bytecode.lua:5: unknown word "load"
on("connection.open", function(session)
	load("\27Lua")
end)
