-- SPDX-License-Identifier: Apache-2.0
-- A text that doubles.
-- expect: used more than
on("connection.open", function(session)
	local text = "x"
	while true do text = text:gsub(".", "%0%0") end
end)
