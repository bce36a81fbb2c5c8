-- SPDX-License-Identifier: Apache-2.0
-- Caught inside and outside of a callback.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do
		pcall(string.gsub, "x", "x", function()
			pcall(function() while true do end end)
		end)
	end
end)
