-- SPDX-License-Identifier: Apache-2.0
-- Calling without end.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local t = setmetatable({}, {})
	getmetatable(t).__call = function(...) return t(...) end
	return t()
end)
