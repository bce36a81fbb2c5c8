-- SPDX-License-Identifier: Apache-2.0
-- A range that is not there.
-- expect: failed:
on("connection.open", function(session)
	return table.concat({}, "x", 1, 1000000000)
end)
