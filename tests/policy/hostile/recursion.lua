-- SPDX-License-Identifier: Apache-2.0
-- Deep recursion is an error or a lack of memory.
-- expect: failed:
on("connection.open", function(session)
	local function deeper() return 1 + deeper() end
	return deeper()
end)
