-- SPDX-License-Identifier: Apache-2.0
-- A loop inside of sort.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	table.sort({ 3, 2, 1 }, function() while true do end end)
end)
