-- SPDX-License-Identifier: Apache-2.0
-- There is no way to the upvalues of a function.
-- expect: failed: upvalue_tricks.lua:5: unknown word "debug"
on("connection.open", function(session)
	debug.getupvalue(session.note, 1)
end)
