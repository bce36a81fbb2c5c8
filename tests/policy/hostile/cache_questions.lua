-- SPDX-License-Identifier: Apache-2.0
-- Questions without end.
-- expect: a hook waits at most 1000 times
on("connection.open", function(session)
	while true do cache.get("x") end
end)
