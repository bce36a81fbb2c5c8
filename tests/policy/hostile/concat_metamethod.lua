-- SPDX-License-Identifier: Apache-2.0
-- A loop in __concat.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local t = setmetatable({}, { __concat = function() while true do end end })
	return t .. t
end)
