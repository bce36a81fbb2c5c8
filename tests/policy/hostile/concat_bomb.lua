-- SPDX-License-Identifier: Apache-2.0
-- A text that doubles.
-- expect: used more than 16777216 bytes of memory
on("connection.open", function(session)
	local text = "x"
	while true do text = text .. text end
end)
