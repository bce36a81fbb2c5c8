-- SPDX-License-Identifier: Apache-2.0
-- Twice at each level: two to the power of the depth.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local function both()
		pcall(both)
		pcall(both)
	end
	while true do both() end
end)
