-- SPDX-License-Identifier: Apache-2.0
-- Empty matches without end.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do for _ in regex.gmatch(("b"):rep(10000), "a*") do end end
end)
