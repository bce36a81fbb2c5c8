-- SPDX-License-Identifier: Apache-2.0
-- Work without end in a callback.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	regex.gsub("aaa", "a", function() while true do end end)
end)
