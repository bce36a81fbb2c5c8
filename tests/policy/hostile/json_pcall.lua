-- SPDX-License-Identifier: Apache-2.0
-- The same, caught.
-- expect: used more than
on("connection.open", function(session)
	local text = "[" .. ("{\"a\":0},"):rep(50000) .. "0]"
	while true do pcall(json.decode, text) end
end)
