-- SPDX-License-Identifier: Apache-2.0
-- Captures, back references and backing up.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local text = ("ab"):rep(20000)
	while true do text:find("(.-)(.-)(.-)%1%2%3x") end
end)
