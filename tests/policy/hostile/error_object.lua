-- SPDX-License-Identifier: Apache-2.0
-- An error whose text is a loop.
-- expect: raised an error that is no text
on("connection.open", function(session)
	error(setmetatable({}, { __tostring = function() while true do end end }))
end)
