-- SPDX-License-Identifier: Apache-2.0
-- Each insertion moves everything.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local list = {}
	while true do table.insert(list, 1, 0) end
end)
