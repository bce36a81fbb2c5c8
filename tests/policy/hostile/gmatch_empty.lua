-- SPDX-License-Identifier: Apache-2.0
-- Empty matches.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do
		for _ in ("x"):rep(100000):gmatch("") do end
	end
end)
