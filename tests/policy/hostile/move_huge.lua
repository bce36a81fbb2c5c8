-- SPDX-License-Identifier: Apache-2.0
-- Moving a thousand million nothings.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	return table.move({}, 1, 1000000000, 2)
end)
