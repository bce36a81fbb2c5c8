-- SPDX-License-Identifier: Apache-2.0
-- Writing into what the library shares.
-- expect: belongs to the gateway
on("connection.open", function(session)
	json.decode = nil
end)
