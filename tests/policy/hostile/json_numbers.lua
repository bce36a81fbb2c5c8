-- SPDX-License-Identifier: Apache-2.0
-- Numbers of many digits.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local text = "[" .. ("1"):rep(250000) .. ".0]"
	while true do json.decode(text) end
end)
