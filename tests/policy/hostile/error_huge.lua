-- SPDX-License-Identifier: Apache-2.0
-- An error of ten megabytes.
-- expect: failed:
on("connection.open", function(session)
	error(("x"):rep(10000000))
end)
