-- SPDX-License-Identifier: Apache-2.0
-- Backing up without end, in one call of C.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	return (("a"):rep(60)):find(("a*"):rep(12) .. "b")
end)
