-- SPDX-License-Identifier: Apache-2.0
-- Asking before anybody is there.
-- expect: nothing can be waited for while a policy file is read
cache.get("x")
on("connection.open", function(session)
	return
end)
