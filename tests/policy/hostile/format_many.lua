-- SPDX-License-Identifier: Apache-2.0
-- The widest numbers there are.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local pattern = ("%99.99f"):rep(200)
	local numbers = {}
	for i = 1, 200 do numbers[i] = 1e300 end
	while true do pattern:format(table.unpack(numbers)) end
end)
