-- SPDX-License-Identifier: Apache-2.0
-- A stack full of nothing.
-- expect: failed: unpack_huge.lua:5: more than 1000 values to unpack
on("connection.open", function(session)
	return table.unpack({}, 1, 1000000000)
end)
