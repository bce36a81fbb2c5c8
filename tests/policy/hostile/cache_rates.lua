-- SPDX-License-Identifier: Apache-2.0
-- Counting without end.
-- expect: a hook makes at most 250 changes
on("connection.open", function(session)
	local i = 0
	while true do i = i + 1 cache.rate("k" .. i, 1, "1s") end
end)
