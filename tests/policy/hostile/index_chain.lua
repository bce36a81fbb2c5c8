-- SPDX-License-Identifier: Apache-2.0
-- Recursion through a metamethod.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end })
	while true do pcall(function() return t[1] end) end
end)
