-- SPDX-License-Identifier: Apache-2.0
-- Copying arguments.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local function all(...)
		while true do
			for i = 1, select("#", ...) do local v = select(i, ...) end
		end
	end
	all(table.unpack({}, 1, 1000))
end)
