-- SPDX-License-Identifier: Apache-2.0
-- Names of very many parts, asked for ever.
-- expect: used more than 50 ms of processor time
local words = table.open("words")
on("connection.open", function(session)
	local name = ("a."):rep(126) .. "b"
	local long = ("a."):rep(200000)
	while true do words:find_domain(name) words:find_domain(long) words:find_address(long) end
end)
