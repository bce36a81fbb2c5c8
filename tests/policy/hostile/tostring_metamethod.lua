-- SPDX-License-Identifier: Apache-2.0
-- A loop in __tostring.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local t = setmetatable({}, { __tostring = function() while true do end end })
	return tostring(t)
end)
