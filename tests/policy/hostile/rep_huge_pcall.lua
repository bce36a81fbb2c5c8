-- SPDX-License-Identifier: Apache-2.0
-- The same, refused again and again.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do pcall(string.rep, "x", 1000000000) end
end)
