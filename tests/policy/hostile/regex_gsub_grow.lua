-- SPDX-License-Identifier: Apache-2.0
-- A text that becomes twice as long each time.
-- expect: used more than
on("connection.open", function(session)
	local text = "a"
	while true do text = regex.gsub(text, ".", "%0%0") end
end)
