-- SPDX-License-Identifier: Apache-2.0
-- Running out of memory is caught, and tried again.
-- expect: used more than 16777216 bytes of memory
on("connection.open", function(session)
	while true do
		pcall(function()
			local text = "x"
			while true do text = text .. text end
		end)
	end
end)
