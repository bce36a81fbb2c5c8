-- SPDX-License-Identifier: Apache-2.0
-- A loop in __eq.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local meta = { __eq = function() while true do end end }
	return setmetatable({}, meta) == setmetatable({}, meta)
end)
