-- SPDX-License-Identifier: Apache-2.0
-- Words of the gateway cannot be replaced.
-- expect: failed: env_poison.lua:5: this table cannot be changed
on("connection.open", function(session)
	rawset(_ENV, "reject", function() return accept() end)
end)
