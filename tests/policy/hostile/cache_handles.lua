-- SPDX-License-Identifier: Apache-2.0
-- A new handle each time.
-- expect: used more than
on("connection.open", function(session)
	local kept = {}
	while true do kept[#kept + 1] = cache.open("cache") end
end)
