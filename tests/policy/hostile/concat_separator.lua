-- SPDX-License-Identifier: Apache-2.0
-- A large separator, many times.
-- expect: failed:
on("connection.open", function(session)
	local list = {}
	for i = 1, 10000 do list[i] = "" end
	return table.concat(list, ("x"):rep(1000000))
end)
