-- SPDX-License-Identifier: Apache-2.0
-- There is nothing that shows byte code.
-- expect: failed: string_dump.lua:5: string has no "dump"
on("connection.open", function(session)
	string.dump(function() end)
end)
