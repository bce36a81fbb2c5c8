-- SPDX-License-Identifier: Apache-2.0
-- A loop in __pairs.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local t = setmetatable({}, { __pairs = function() while true do end end })
	for _ in pairs(t) do end
end)
