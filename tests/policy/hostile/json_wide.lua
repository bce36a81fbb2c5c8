-- SPDX-License-Identifier: Apache-2.0
-- As many values as fit, again and again.
-- expect: used more than
on("connection.open", function(session)
	local text = "[" .. ("[],"):rep(170000) .. "0]"
	local kept = {}
	while true do kept[#kept + 1] = json.decode(text) end
end)
