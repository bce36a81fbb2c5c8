-- SPDX-License-Identifier: Apache-2.0
-- Waking up without end.
-- expect: a hook waits at most 1000 times
on("connection.open", function(session)
	while true do sleep("1ms") end
end)
