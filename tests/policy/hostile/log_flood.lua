-- SPDX-License-Identifier: Apache-2.0
-- Lines of log without end.
-- expect: failed: log_flood.lua:5: a hook makes at most 250 changes
on("connection.open", function(session)
	while true do log.info(("x"):rep(1000)) end
end)
