-- SPDX-License-Identifier: Apache-2.0
-- What the libraries of a policy answer, in one text. Run by the unit tests in a policy's libraries
-- and in the interpreter of the system: both must say the same.
local patterns = {
'', 'a', '.', 'a*', 'a+', 'a-', 'a?', '^a', 'a$', '^$', '^a*$', '^', '$', '.-b', '.*b',
'(a)(b)', '(a*)(b*)', '((a)b)', '()a()', '(a)%1', '(.)%1', '(a*(.)%w(%s*))', '[abc]',
'[^abc]', '[a-c]+', '[]]', '[^]]', '[a-]', '[%a_]+', '[%w%-]+', '[^%s]+', '%a+', '%A+', '%d+',
'%D', '%l', '%L', '%u+', '%U+', '%s+', '%S+', '%w+', '%W+', '%x+', '%X', '%p+', '%P', '%c', '%C',
'%g+', '%G', '%%', '%.', '%b()', '%b<>', '%bxx', '%f[%w]%w+', '%f[%W]', 'a%f[%A]', '%f[%W]%s',
'x?y?z', 'a.-a', '(a+)(a+)', '([^@]+)@([^@]+)$', '^(%w+)=(.*)$', '"([^"]*)"', '[+-]?%d+',
'%$', 'a$b', 'a^b', '^^', '[^^]', '[$]', '-', '+', '*', '?', 'a-$', '^.-$', '.+$', '[%a-z]+', '%-',
'(()())', '%w*%d', '%s*(.-)%s*$', '<(%w+)>.-</%1>', '[\0]', '[\128-\255]+', '[^\0-\127]',
'((((a))))', 'a*b*c*d', 'aa-b', '[a-a]', '[b-a]', '[%%]', '[%]]', '[^%a%d]', '[.]', '[(]', '%('
}
local subjects = { '', 'a', 'b', 'ab', 'aab', 'aaa', 'abc', 'abcabc', 'hello world', 'x = 10',
'key=value=x', 'user@example.org', '  padded  ', '(a(b)c)', ')(', '<b>bold</b>', 'THE (quick) fox',
'\"quoted\" text', 'a\0b', '\0', '\200\201x\255', '$^%.-+*?[]()', 'a-b_c', '2026-11-21',
'aaab aab ab b', 'xxyxx', 'line\none\r\n', 'AbCdEf', 'a$b', 'a^b', '--', '0x1F, -5 +7' }
local out = {}
local function show(...)
  local n = select('#', ...)
  local t = {}
  for i = 1, n do local v = (select(i, ...)) t[i] = tostring(v) end
  return n .. ':' .. table.concat(t, '|')
end
-- Of an error only that it is one: its words are ours.
local function add(first, ...)
  if first == false then out[#out + 1] = 'false' else out[#out + 1] = show(first, ...) end
end
for _, p in ipairs(patterns) do
  for _, s in ipairs(subjects) do
    add(pcall(string.find, s, p))
    add(pcall(string.find, s, p, 2))
    add(pcall(string.match, s, p))
    add(pcall(string.match, s, p, -2))
    add(pcall(string.gsub, s, p, '<%0>'))
    add(pcall(string.gsub, s, p, 'x', 2))
    local ok, e = pcall(function()
      local n = 0
      for a, b in string.gmatch(s, p) do add(a, b) n = n + 1 if n > 50 then break end end
    end)
    add(ok)
  end
end
for _, p in ipairs { '[a', '[', '%', '(', ')', '(a', 'a)', '%1', '(a%1)', '%b', '%bx', '%f', '%fa',
    '[%', '[^', '[]', '%0' } do
  add((pcall(string.find, 'a', p)))
end
for _, r in ipairs { '%1', '%2', '%9', '%%', '%', '%x', '%0%0', '' } do
  add(pcall(string.gsub, 'abc', 'b', r)) add(pcall(string.gsub, 'abc', '(a)(b)', r))
end
add(string.gsub('hello world', 'o', { o = '0' })) add(string.gsub('abc', '%w', { a = 1, b = false }))
add(string.gsub('abc', '%w', function(x) if x == 'b' then return 'B' end end))
add(string.gsub('abc def', '(%w)(%w)', function(x, y) return y .. x end))
add((pcall(string.gsub, 'abc', 'a', function() return {} end)))
add(string.gsub('abc', '', '-')) add(string.gsub('', '', '-')) add(string.gsub('a\0b', '%c', '.'))
for i = -7, 7 do
  add(string.find('abcde', 'c', i)) add(string.find('abcde', '', i)) add(string.find('a.c', '.', i, true))
  for j = -7, 7 do add(string.sub('abcde', i, j)) add(string.byte('abcde', i, j)) end
end
add(string.format('%d %5d %-5d| %05d %+d %x %X %#x %o %c', 1, 2, 3, 4, 5, 255, 255, 255, 8, 65))
add(string.format('%s %10s %-10s| %.2s %5.1s|', 'a', 'b', 'c', 'defg', 'hij'))
add(string.format('%f %.2f %e %g %g %10.3f', 1.5, 2.345, 3.0, 1e20, 0.1, 3.14159))
add(string.format('%s %s %s %%', nil, true, 12)) add(string.format('%5s|%-5s|', 'long text', 'x'))
add(pcall(string.format, '%d', 1.5)) add((pcall(string.format, '%y', 1))) add((pcall(string.format, '%d')))
add((pcall(string.format, '%123d', 1))) add(string.format('%i', 3)) add(string.format('%.3d', 5))
add(string.rep('ab', 3)) add(string.rep('ab', 3, '-')) add(string.rep('x', 0)) add(string.rep('x', -1))
add(string.reverse('abc')) add(string.upper('aBc1')) add(string.lower('aBc1')) add(#string.rep('a', 100))
add(string.char(72, 105)) add(string.char()) add(string.len('a\0b')) add(('x'):rep(3):upper())
add(tonumber('10'), tonumber('0x10'), tonumber(' 5 '), tonumber('5x'), tonumber(''), tonumber('1e2'))
add(tonumber('10', 2), tonumber('zz', 36), tonumber('8', 8), tonumber('-ff', 16), tonumber(' 7 ', 8))
add(tonumber('', 10), tonumber('-', 10), tonumber('1 1', 10), tonumber('1.5', 10))
add(table.concat({ 1, 2, 3 }, ',')) add(table.concat({}, ',')) add(table.concat({ 'a', 'b', 'c' }, '', 2, 3))
add((pcall(table.concat, { 1, {}, 3 }))) add(table.unpack({ 1, 2, 3 })) add(table.unpack({ 1, 2, 3 }, 2))
add(table.unpack({ 1, 2 }, 1, 3)) add(table.unpack({}, 1, 0)) add(table.pack(1, nil, 3).n)
local t = { 1, 2, 3 } table.insert(t, 4) table.insert(t, 1, 0) add(table.concat(t, ','))
add(table.remove(t), table.remove(t, 1), table.concat(t, ',')) add(table.remove({}), #t)
add((pcall(table.insert, t, 9, 1))) add((pcall(table.insert, t, 0, 1))) add((pcall(table.remove, t, 7)))
add(table.concat(table.move({ 1, 2, 3, 4, 5 }, 2, 5, 1), ',')) add(table.concat(table.move({ 1, 2, 3 }, 1, 3, 2), ','))
add(table.concat(table.move({ 1, 2, 3 }, 1, 3, 1, {}), ','))
local seed = 7 local function random() seed = (seed * 16807) % 2147483647 return seed end
for n = 0, 40 do
  local a, b = {}, {} for i = 1, n do a[i] = random() % 50 b[i] = a[i] end
  table.sort(a) add(table.concat(a, ',')) table.sort(b, function(x, y) return x > y end) add(table.concat(b, ','))
end
local words = { 'b', 'a', 'C', '' } table.sort(words) add(table.concat(words, ','))
add(math.floor(1.5), math.ceil(1.5), math.floor(-1.5), math.abs(-3), math.max(1, 5, 3), math.min(2, 1.5))
add(math.tointeger(3.0), math.tointeger(3.5), math.type(1), math.type(1.0), math.type('1'), math.sqrt(9))
add(select('#'), select('#', nil, nil), select(2, 'a', 'b', 'c')) add(select(-1, 'a', 'b'))
add((pcall(select, 0))) add((pcall(select, -5, 1))) add(pcall(error, 'x', 0)) add(pcall(error))
add(rawequal('a', 'a'), rawlen({ 1, 2 }), rawget({ 5 }, 1), next({}), type(nil), (pcall(type)))
add(pcall(assert, false, 'why')) add(pcall(assert, 1, 2)) add((pcall(assert, nil))) add((pcall(assert)))
local keys = {} for k, v in pairs({ 10, 20, 30 }) do keys[#keys + 1] = k .. v end add(table.concat(keys, ' '))
keys = {} for k, v in ipairs({ 10, 20, nil, 40 }) do keys[#keys + 1] = k .. v end add(table.concat(keys, ' '))
local m = setmetatable({}, { __index = function(_, k) return k * 2 end, __call = function(_, x) return x end,
  __tostring = function() return 'me' end, __len = function() return 9 end })
add(m[4], m(3), tostring(m), #m, rawlen(m)) add(getmetatable(setmetatable({}, { __metatable = 'no' })))
add((pcall(setmetatable, setmetatable({}, { __metatable = 1 }), {}))) add(pcall(pcall, error, 'e'))

-- Patterns put together by chance, all well-formed.
local state = 42
local function chance(limit) state = (state * 48271) % 2147483647 return state % limit + 1 end
local pieces = { 'a', 'b', '.', '%a', '%d', '%s', '%w', '[ab]', '[^a]', '[%a_]', '%p', '-', '%.', 'c', '%u' }
local repeats = { '', '', '', '*', '+', '-', '?' }
local letters = { 'a', 'b', 'c', ' ', '1', '.', '-', '_', 'A' }
for round = 1, 1500 do
  local pattern, open = {}, 0
  for _ = 1, chance(5) do
    if chance(6) == 1 then pattern[#pattern + 1] = '(' open = open + 1 end
    local piece = pieces[chance(#pieces)]
    if piece == '-' then piece = '%-' end
    pattern[#pattern + 1] = piece .. repeats[chance(#repeats)]
    if open > 0 and chance(2) == 1 then pattern[#pattern + 1] = ')' open = open - 1 end
  end
  pattern = (chance(8) == 1 and '^' or '') .. table.concat(pattern) .. string.rep(')', open)
    .. (chance(6) == 1 and '$' or '')
  local subject = {}
  for i = 1, chance(12) do subject[i] = letters[chance(#letters)] end
  subject = table.concat(subject)
  add(string.find(subject, pattern))
  add(string.match(subject, pattern, chance(5)))
  add(string.gsub(subject, pattern, '<%0>'))
end
return table.concat(out, '\1')
