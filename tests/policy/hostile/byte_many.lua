-- SPDX-License-Identifier: Apache-2.0
-- A stack full of bytes.
-- expect: failed: byte_many.lua:5: bad argument #2 to 'byte' (more than 1000 bytes at once)
on("connection.open", function(session)
	return ("x"):rep(100000):byte(1, -1)
end)
