-- SPDX-License-Identifier: Apache-2.0
-- A loop when the file is read.
-- expect: refused: load_time_loop.lua:4: used more than 1000 ms of processor time
while true do pcall(function() while true do end end) end
