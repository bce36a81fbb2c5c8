-- SPDX-License-Identifier: Apache-2.0
-- An order that is none.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local list = {}
	for i = 1, 100000 do list[i] = i end
	while true do
		table.sort(list, function() return math.random() < 0.5 end)
	end
end)
