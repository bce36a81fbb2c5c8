-- SPDX-License-Identifier: Apache-2.0
-- The libraries cannot be changed.
-- expect: failed: string_poison.lua:5: "string" belongs to the gateway and cannot be changed
on("connection.open", function(session)
	string.upper = function() return "poison" end
end)
