-- SPDX-License-Identifier: Apache-2.0
-- A loop where nothing can yield.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	("x"):rep(100):gsub("x", function() while true do end end)
end)
