-- SPDX-License-Identifier: Apache-2.0
-- Comparing long captures again and again.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	regex.test(("a"):rep(100000), "^(a*)(?:\\1)*b")
	for i = 1, 1000 do regex.test(("a"):rep(100000), "(a*)\\1b") end
end)
