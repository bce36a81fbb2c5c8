-- SPDX-License-Identifier: Apache-2.0
-- Requests without end.
-- expect: a hook makes at most 250 changes
on("connection.open", function(session)
	while true do http.get("http://example.org/") end
end)
