-- SPDX-License-Identifier: Apache-2.0
-- A loop of tail calls.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local function again() return again() end
	return again()
end)
