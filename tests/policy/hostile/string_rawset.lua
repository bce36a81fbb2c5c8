-- SPDX-License-Identifier: Apache-2.0
-- Nor past their guard.
-- expect: failed: string_rawset.lua:5: this table cannot be changed
on("connection.open", function(session)
	rawset(string, "upper", 1)
end)
