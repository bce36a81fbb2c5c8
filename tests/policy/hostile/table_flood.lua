-- SPDX-License-Identifier: Apache-2.0
-- Opening what is there again and again.
-- expect: opens at most 64 tables
while true do table.open("words") end
on("connection.open", function(session)
	return
end)
