-- SPDX-License-Identifier: Apache-2.0
-- Things that are no texts.
-- expect: failed
on("connection.open", function(session)
	regex.test(session, "a")
end)
