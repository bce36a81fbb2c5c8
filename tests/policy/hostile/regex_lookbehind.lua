-- SPDX-License-Identifier: Apache-2.0
-- Looking around at every place.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	for i = 1, 1000 do regex.test(("ab"):rep(50000), "(?=.*.*c)(?<=aaaaaaaa)c") end
end)
