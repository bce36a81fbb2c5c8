-- SPDX-License-Identifier: Apache-2.0
-- More headers than anybody reads.
-- expect: a request has at most 64 headers
on("connection.open", function(session)
	local headers = {}
	for i = 1, 10000 do headers["X-" .. i] = "x" end
	http.get("http://example.org/", { headers = headers })
end)
