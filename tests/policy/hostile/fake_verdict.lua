-- SPDX-License-Identifier: Apache-2.0
-- A table that calls itself a verdict.
-- expect: failed: fake_verdict.lua:4: a hook returns a verdict or nothing, not a postern.verdict
on("connection.open", function(session)
	return setmetatable({ verdict = 1 }, { __name = "postern.verdict" })
end)
