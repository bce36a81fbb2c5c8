-- SPDX-License-Identifier: Apache-2.0
-- Quadratic work, in one call of C.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local text = ("a"):rep(200000)
	for _ = 1, 1000 do text:gsub("a-b", "") end
end)
