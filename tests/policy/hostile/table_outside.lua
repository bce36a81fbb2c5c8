-- SPDX-License-Identifier: Apache-2.0
-- A file that is none of its business.
-- expect: must be a name in the policy
table.open("../../../../etc/passwd")
on("connection.open", function(session)
	return
end)
