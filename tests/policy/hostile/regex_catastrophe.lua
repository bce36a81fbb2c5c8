-- SPDX-License-Identifier: Apache-2.0
-- The classic: exponential backing up.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	return regex.test(("a"):rep(40) .. "!", "^(a+)+$") and reject()
end)
