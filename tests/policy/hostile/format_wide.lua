-- SPDX-License-Identifier: Apache-2.0
-- A number as wide as the machine.
-- expect: failed: format_wide.lua:5: invalid conversion
on("connection.open", function(session)
	return ("%1000000d"):format(1)
end)
