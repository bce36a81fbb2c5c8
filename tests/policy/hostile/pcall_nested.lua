-- SPDX-License-Identifier: Apache-2.0
-- Catching at every depth.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local function deeper(n)
		pcall(function() while true do end end)
		if n < 100 then pcall(deeper, n + 1) end
		deeper(n)
	end
	deeper(1)
end)
