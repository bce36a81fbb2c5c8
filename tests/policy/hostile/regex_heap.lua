-- SPDX-License-Identifier: Apache-2.0
-- Places to come back to without end.
-- expect: backs up too often
on("connection.open", function(session)
	regex.test(("ab"):rep(300000), "^(?:a|b)*(?:c)")
end)
