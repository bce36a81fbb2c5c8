-- SPDX-License-Identifier: Apache-2.0
-- A loop without end.
-- expect: failed: loop.lua:5: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do end
end)
