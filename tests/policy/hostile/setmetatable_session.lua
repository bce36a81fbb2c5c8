-- SPDX-License-Identifier: Apache-2.0
-- Handles keep their metatable.
-- expect: failed: setmetatable_session.lua:5: bad argument #1 to 'setmetatable' (table expected, got session)
on("connection.open", function(session)
	setmetatable(session, {})
end)
