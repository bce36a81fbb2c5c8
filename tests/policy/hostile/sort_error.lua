-- SPDX-License-Identifier: Apache-2.0
-- What cannot be compared is a plain error.
-- expect: failed: sort_error.lua:5: attempt to compare
on("connection.open", function(session)
	table.sort({ 3, {}, "x" })
end)
