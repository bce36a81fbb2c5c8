-- SPDX-License-Identifier: Apache-2.0
-- Few instructions that each compare megabytes.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local left, right = ("x"):rep(3000000) .. "a", ("x"):rep(3000000) .. "b"
	while true do local same = left == right end
end)
