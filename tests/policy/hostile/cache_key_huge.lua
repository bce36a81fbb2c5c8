-- SPDX-License-Identifier: Apache-2.0
-- A key that takes long to digest.
-- expect: cache_key_huge.lua:5: 
on("connection.open", function(session)
	while true do cache.get(("k"):rep(4 * 1024 * 1024)) end
end)
