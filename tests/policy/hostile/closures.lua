-- SPDX-License-Identifier: Apache-2.0
-- Nothing but closures.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do local f = function() return session end end
end)
