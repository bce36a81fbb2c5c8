-- SPDX-License-Identifier: Apache-2.0
-- Handles hide their metatable.
-- expect: failed: getmetatable_session.lua:5: attempt to index a boolean value
on("connection.open", function(session)
	getmetatable(session).__index = nil
end)
