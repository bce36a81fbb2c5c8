-- SPDX-License-Identifier: Apache-2.0
-- Long scans from every place of a long text.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	regex.test(("a"):rep(200000), "a*b")
	for i = 1, 1000 do regex.test(("a"):rep(200000), ".*?.*?=b") end
end)
