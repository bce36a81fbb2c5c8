-- SPDX-License-Identifier: Apache-2.0
-- Keys without end.
-- expect: used more than
on("connection.open", function(session)
	local map = {}
	for i = 1, 1e9 do map[i .. "k"] = i end
end)
