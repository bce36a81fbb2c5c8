-- SPDX-License-Identifier: Apache-2.0
-- The same, caught.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do
		pcall(regex.test, ("a"):rep(40) .. "!", "^(a+)+$")
	end
end)
