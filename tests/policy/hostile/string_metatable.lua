-- SPDX-License-Identifier: Apache-2.0
-- The metatable of strings is out of reach.
-- expect: failed: string_metatable.lua:5: attempt to index a boolean value
on("connection.open", function(session)
	getmetatable("").__index = function() return "poison" end
end)
