-- SPDX-License-Identifier: Apache-2.0
-- A new pattern each time.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	for i = 1, 1e9 do regex.test("x", ("(a|b%d){1,3}"):format(i):rep(20)) end
end)
