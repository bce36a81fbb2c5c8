-- SPDX-License-Identifier: Apache-2.0
-- A list in a list in a list.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local text = ("["):rep(2000) .. ("]"):rep(2000)
	while true do json.decode(text) end
end)
