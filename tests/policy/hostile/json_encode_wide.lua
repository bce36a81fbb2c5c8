-- SPDX-License-Identifier: Apache-2.0
-- Tables that share what they contain: short to say, without end to write.
-- expect: used more than
on("connection.open", function(session)
	local t = { "x" }
	for i = 1, 60 do t = { t, t } end
	json.encode(t)
end)
