-- SPDX-License-Identifier: Apache-2.0
-- Many times nothing is nothing, at once.
-- expect: continue
on("connection.open", function(session)
	local empty = (""):rep(1000000000)
	assert(empty == "")
end)
