-- SPDX-License-Identifier: Apache-2.0
-- A pattern that would be compiled into much more than it is.
-- expect: regex: regular expression is too large
on("connection.open", function(session)
	regex.test("x", "((((a{1,1000}){1,1000}){1,1000}){1,1000})")
end)
