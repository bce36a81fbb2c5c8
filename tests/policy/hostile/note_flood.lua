-- SPDX-License-Identifier: Apache-2.0
-- Memory of the session without end.
-- expect: failed: note_flood.lua:7: a hook makes at most 250 changes
on("connection.open", function(session)
	local i = 0
	while true do
		session:set_note("key" .. i, ("x"):rep(4096))
		i = i + 1
	end
end)
