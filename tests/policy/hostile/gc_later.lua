-- SPDX-License-Identifier: Apache-2.0
-- Put into the metatable later it is never called.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local meta = {}
	local value = setmetatable({}, meta)
	meta.__gc = function() while true do end end
	value = nil
	while true do local garbage = {} end
end)
