-- SPDX-License-Identifier: Apache-2.0
-- Attributes that run code are refused when the file is read.
-- expect: refused: close_attribute.lua:4: <close> is not available in policies
local value <close> = setmetatable({}, {})
