-- SPDX-License-Identifier: Apache-2.0
-- The same, caught.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local i = 0
	while true do
		pcall(session.set_note, session, "key" .. i, ("x"):rep(4096))
		i = i + 1
	end
end)
