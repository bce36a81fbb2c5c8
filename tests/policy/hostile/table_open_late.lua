-- SPDX-License-Identifier: Apache-2.0
-- Opening files in a hook.
-- expect: opened when the policy is read
on("connection.open", function(session)
	table.open("words")
end)
