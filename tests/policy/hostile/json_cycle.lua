-- SPDX-License-Identifier: Apache-2.0
-- A table that contains itself.
-- expect: deeper than 100 levels
on("connection.open", function(session)
	local t = {}
	t[1] = t
	json.encode(t)
end)
