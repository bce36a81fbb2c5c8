-- SPDX-License-Identifier: Apache-2.0
-- Tables without end.
-- expect: used more than
on("connection.open", function(session)
	local list = {}
	while true do list[#list + 1] = {} end
end)
