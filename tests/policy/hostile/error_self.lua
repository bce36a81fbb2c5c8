-- SPDX-License-Identifier: Apache-2.0
-- Errors in errors.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local problem = setmetatable({}, { __tostring = error })
	while true do pcall(error, problem) end
end)
