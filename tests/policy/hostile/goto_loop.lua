-- SPDX-License-Identifier: Apache-2.0
-- goto.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	::again::
	goto again
end)
