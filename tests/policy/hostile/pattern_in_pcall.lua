-- SPDX-License-Identifier: Apache-2.0
-- The matcher gives up, and pcall would go on.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do
		pcall(string.find, ("a"):rep(60), ("a*"):rep(12) .. "b")
	end
end)
