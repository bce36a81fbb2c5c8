-- SPDX-License-Identifier: Apache-2.0
-- The fourth value of for is closed at its end.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local meta = {}
	local value = setmetatable({}, meta)
	meta.__close = function() while true do end end
	for _ in next, { 1 }, nil, value do end
end)
