-- SPDX-License-Identifier: Apache-2.0
-- Nothing but garbage.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	while true do local t = { {}, {}, {} } end
end)
