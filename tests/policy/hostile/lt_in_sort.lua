-- SPDX-License-Identifier: Apache-2.0
-- A loop in __lt, below sort.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local meta = { __lt = function() while true do end end }
	table.sort({ setmetatable({}, meta), setmetatable({}, meta) })
end)
