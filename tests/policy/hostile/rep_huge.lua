-- SPDX-License-Identifier: Apache-2.0
-- A gigabyte in one call.
-- expect: failed: rep_huge.lua:5: the resulting text would be too long
on("connection.open", function(session)
	return ("x"):rep(1000000000)
end)
