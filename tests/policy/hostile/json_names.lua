-- SPDX-License-Identifier: Apache-2.0
-- Names that are all different.
-- expect: used more than 50 ms of processor time
on("connection.open", function(session)
	local names = {}
	for i = 1, 20000 do names[i] = ("\"%d\":0"):format(i) end
	local text = "{" .. table.concat(names, ",") .. "}"
	while true do json.decode(text) end
end)
