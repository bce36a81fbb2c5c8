-- SPDX-License-Identifier: Apache-2.0
-- The same, below format, caught.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local t = setmetatable({}, { __tostring = function() while true do end end })
	while true do pcall(string.format, "%s", t) end
end)
