-- SPDX-License-Identifier: Apache-2.0
-- The same, for order.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local left, right = ("x"):rep(3000000) .. "a", ("x"):rep(3000000) .. "b"
	while true do local less = left < right end
end)
