-- SPDX-License-Identifier: Apache-2.0
-- A collector would run at any time.
-- expect: failed: gc_metamethod.lua:5: __gc is not available in policies
on("connection.open", function(session)
	setmetatable({}, { __gc = function() while true do end end })
end)
