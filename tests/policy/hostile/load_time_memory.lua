-- SPDX-License-Identifier: Apache-2.0
-- Memory without end when the file is read.
-- expect: refused: load_time_memory.lua:5: used more than 16777216 bytes of memory
local list = {}
for i = 1, 1e9 do list[i] = { i } end
