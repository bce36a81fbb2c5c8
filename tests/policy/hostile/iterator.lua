-- SPDX-License-Identifier: Apache-2.0
-- An iterator that never ends.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	for _ in function() return 1 end do end
end)
