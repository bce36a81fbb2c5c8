-- SPDX-License-Identifier: Apache-2.0
-- Waiting where nothing can wait.
-- expect: nothing can be waited for here
on("connection.open", function(session)
	return (("a"):gsub("a", function() return http.get("http://example.org/").body end))
end)
