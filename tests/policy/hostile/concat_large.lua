-- SPDX-License-Identifier: Apache-2.0
-- Few instructions that each copy megabytes.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local text = ("x"):rep(4000000)
	while true do local copy = text .. "y" end
end)
