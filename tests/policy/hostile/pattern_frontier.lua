-- SPDX-License-Identifier: Apache-2.0
-- One step a byte, over and over.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local text = ("a"):rep(1000000)
	while true do text:find("%f[b]x") end
end)
