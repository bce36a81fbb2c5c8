-- SPDX-License-Identifier: Apache-2.0
-- Scans that end just before they succeed, without an item in between.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local text = (("a"):rep(29999) .. "c"):rep(30)
	for i = 1, 100 do regex.test(text, "a{30000}") end
end)
