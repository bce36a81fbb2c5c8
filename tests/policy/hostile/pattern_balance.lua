-- SPDX-License-Identifier: Apache-2.0
-- Every opening bracket looks for its end.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local text = ("("):rep(100000)
	while true do text:find("%b()") end
end)
