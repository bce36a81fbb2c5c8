-- SPDX-License-Identifier: Apache-2.0
-- A pattern that calls itself.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do pcall(regex.test, ("("):rep(20000), "^((?:\\(|x)(?1)?)*y") end
end)
