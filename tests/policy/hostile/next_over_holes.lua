-- SPDX-License-Identifier: Apache-2.0
-- Each call walks an empty table.
-- expect: used more than
on("connection.open", function(session)
	local map = {}
	for i = 1, 200000 do map["k" .. i] = i end
	for i = 1, 200000 do map["k" .. i] = nil end
	while true do next(map) end
end)
