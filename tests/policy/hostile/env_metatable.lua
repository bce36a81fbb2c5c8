-- SPDX-License-Identifier: Apache-2.0
-- Nor can the environment lose its guard.
-- expect: failed: env_metatable.lua:5: cannot change a protected metatable
on("connection.open", function(session)
	setmetatable(_ENV, nil)
end)
