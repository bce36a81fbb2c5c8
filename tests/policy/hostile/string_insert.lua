-- SPDX-License-Identifier: Apache-2.0
-- Nor through the table library.
-- expect: failed: string_insert.lua:5: this table cannot be changed
on("connection.open", function(session)
	table.insert(string, 1)
end)
