-- SPDX-License-Identifier: Apache-2.0
-- An error alone would be caught again and again.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do
		pcall(function() while true do end end)
	end
end)
