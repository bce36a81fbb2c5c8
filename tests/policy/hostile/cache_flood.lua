-- SPDX-License-Identifier: Apache-2.0
-- Entries without end.
-- expect: a hook makes at most 250 changes
on("connection.open", function(session)
	local i = 0
	while true do i = i + 1 cache.set("key" .. i, ("v"):rep(4096), "366d") end
end)
