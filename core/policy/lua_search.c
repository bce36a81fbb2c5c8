/* SPDX-License-Identifier: Apache-2.0 */
/* string.find, match, gmatch and gsub, on the matcher of pattern.h. */
#include "policy/builder.h"
#include "policy/lua_string.h"
#include "policy/pattern.h"

static void spend_steps(void *user, uint64_t steps)
{
	policy_budget_spend(user, steps);
}

/* A compiled pattern, in a block on the stack. */
static struct pn_pattern *push_pattern(lua_State *lua, int index, bool may_anchor)
{
	struct pn_slice text = policy_check_slice(lua, index);
	struct pn_pattern *pattern = lua_newuserdatauv(lua, pn_pattern_size(text), 0);
	const char *problem;

	policy_budget_spend(lua, 16 + text.size);
	problem = pn_pattern_compile(pattern, text, may_anchor);
	if (problem != NULL)
		luaL_error(lua, "%s", problem);
	return pattern;
}

static void init_match(struct pn_pattern_match *match, lua_State *lua,
                       const struct pn_pattern *pattern, struct pn_slice subject)
{
	memset(match, 0, sizeof(*match));
	match->pattern = pattern;
	match->subject = subject;
	match->spend = spend_steps;
	match->user = lua;
}

/* Tells the budget what the matcher has not told yet. */
static void settle(struct pn_pattern_match *match)
{
	uint64_t steps = match->steps;

	match->steps = 0;
	policy_budget_spend(match->user, steps + 1);
}

static void push_capture(lua_State *lua, const struct pn_pattern_match *match, size_t index)
{
	const struct pn_pattern_capture *capture = &match->captures[index];

	if (capture->is_position)
		lua_pushinteger(lua, capture->start - match->subject.data + 1);
	else
		policy_push_slice(lua, pn_slice_make(capture->start, capture->size));
}

/* All captures; the whole match where there are none and `or_whole`. */
static int push_captures(lua_State *lua, const struct pn_pattern_match *match, bool or_whole)
{
	size_t count = match->pattern->capture_count;

	luaL_checkstack(lua, PN_PATTERN_CAPTURES_MAX, "too many captures");
	for (size_t index = 0; index < count; index++)
		push_capture(lua, match, index);
	if (count == 0 && or_whole) {
		policy_push_slice(lua,
		                  pn_slice_make(match->start, (size_t)(match->end - match->start)));
		return 1;
	}
	return (int)count;
}

/* Where the search begins (argument 3), from 0; more than the size: nowhere. */
static size_t begin_offset(lua_State *lua, int index, size_t size)
{
	lua_Integer position = luaL_optinteger(lua, index, 1);

	if (position > 0)
		return (size_t)position - 1;
	if (position == 0 || position < -(lua_Integer)size)
		return 0;
	return size - (size_t)-position;
}

static bool is_plain(struct pn_slice pattern)
{
	for (size_t index = 0; index < pattern.size; index++) {
		if (pattern.data[index] != '\0' &&
		    strchr("^$*+?.([%-", pattern.data[index]) != NULL)
			return false;
	}
	return true;
}

static int find_plain(lua_State *lua, struct pn_slice subject, struct pn_slice wanted,
                      size_t offset)
{
	const char *found = subject.data + offset;

	policy_budget_spend(lua, 1 + (subject.size - offset) / 8);
	if (wanted.size != 0)
		found = memmem(subject.data + offset, subject.size - offset, wanted.data,
		               wanted.size);
	if (found == NULL) {
		lua_pushnil(lua);
		return 1;
	}
	lua_pushinteger(lua, found - subject.data + 1);
	lua_pushinteger(lua, found - subject.data + (lua_Integer)wanted.size);
	return 2;
}

static int search(lua_State *lua, bool is_find)
{
	struct pn_slice subject = policy_check_slice(lua, 1);
	struct pn_slice text = policy_check_slice(lua, 2);
	size_t offset = begin_offset(lua, 3, subject.size);
	struct pn_pattern_match match;
	bool is_found;

	if (offset > subject.size) {
		lua_pushnil(lua);
		return 1;
	}
	if (is_find && (lua_toboolean(lua, 4) || is_plain(text)))
		return find_plain(lua, subject, text, offset);
	init_match(&match, lua, push_pattern(lua, 2, true), subject);
	is_found = pn_pattern_search(&match, subject.data + offset);
	settle(&match);
	if (!is_found) {
		lua_pushnil(lua);
		return 1;
	}
	if (!is_find)
		return push_captures(lua, &match, true);
	lua_pushinteger(lua, match.start - subject.data + 1);
	lua_pushinteger(lua, match.end - subject.data);
	return 2 + push_captures(lua, &match, false);
}

int policy_string_find(lua_State *lua)
{
	return search(lua, true);
}

int policy_string_match(lua_State *lua)
{
	return search(lua, false);
}

/* ---- gmatch ---- */

/* Upvalues: subject, pattern (compiled), offset of the next try, end of the last match (-1: none).
 */
static int gmatch_step(lua_State *lua)
{
	struct pn_slice subject = policy_check_slice(lua, lua_upvalueindex(1));
	const struct pn_pattern *pattern = lua_touserdata(lua, lua_upvalueindex(2));
	size_t offset = (size_t)lua_tointeger(lua, lua_upvalueindex(3));
	lua_Integer last_end = lua_tointeger(lua, lua_upvalueindex(4));
	struct pn_pattern_match match;

	init_match(&match, lua, pattern, subject);
	for (; offset <= subject.size; offset++) {
		if (!pn_pattern_search(&match, subject.data + offset))
			break;
		offset = (size_t)(match.start - subject.data);
		/* An empty match right where the last one ended is that one's end again. */
		if (match.end - subject.data == last_end)
			continue;
		settle(&match);
		lua_pushinteger(lua, match.end - subject.data);
		lua_copy(lua, -1, lua_upvalueindex(3));
		lua_replace(lua, lua_upvalueindex(4));
		return push_captures(lua, &match, true);
	}
	settle(&match);
	lua_pushinteger(lua, (lua_Integer)subject.size + 1);
	lua_replace(lua, lua_upvalueindex(3));
	return 0;
}

int policy_string_gmatch(lua_State *lua)
{
	struct pn_slice subject = policy_check_slice(lua, 1);
	size_t offset = begin_offset(lua, 3, subject.size);

	luaL_checkstring(lua, 2);
	lua_settop(lua, 2);
	lua_pushvalue(lua, 1);
	push_pattern(lua, 2, false);
	lua_pushinteger(lua, (lua_Integer)(offset > subject.size ? subject.size + 1 : offset));
	lua_pushinteger(lua, -1);
	lua_pushcclosure(lua, gmatch_step, 4);
	return 1;
}

/* ---- gsub ---- */

/* The replacement text, with its %0 … %9 and %%. */
static void add_text(struct policy_builder *builder, const struct pn_pattern_match *match,
                     struct pn_slice replacement)
{
	lua_State *lua = builder->lua;
	size_t captures = match->pattern->capture_count;

	for (size_t at = 0; at < replacement.size; at++) {
		char byte = replacement.data[at];

		if (byte != '%') {
			policy_builder_add_byte(builder, byte);
			continue;
		}
		byte = ++at < replacement.size ? replacement.data[at] : '\0';
		if (byte == '%') {
			policy_builder_add_byte(builder, '%');
		} else if (byte == '0' || (byte == '1' && captures == 0)) {
			policy_builder_add(
				builder,
				pn_slice_make(match->start, (size_t)(match->end - match->start)));
		} else if (byte >= '1' && byte <= '9' && (size_t)(byte - '1') < captures) {
			push_capture(lua, match, (size_t)(byte - '1'));
			policy_builder_add(builder, policy_check_slice(lua, -1));
			lua_pop(lua, 1);
		} else if (byte >= '1' && byte <= '9') {
			luaL_error(lua, "invalid capture index %%%d in replacement string",
			           byte - '0');
		} else {
			luaL_error(lua, "invalid use of '%%' in replacement string");
		}
	}
	policy_budget_spend(lua, replacement.size / 4);
}

/* The replacement by table or function; nil and false keep the match. */
static void add_value(struct policy_builder *builder, const struct pn_pattern_match *match,
                      int type)
{
	lua_State *lua = builder->lua;
	int captures;

	if (type == LUA_TFUNCTION) {
		lua_pushvalue(lua, 3);
		captures = push_captures(lua, match, true);
		lua_call(lua, captures, 1);
	} else {
		captures = push_captures(lua, match, true);
		lua_pop(lua, captures - 1);
		lua_gettable(lua, 3);
	}
	if (!lua_toboolean(lua, -1)) {
		policy_builder_add(
			builder, pn_slice_make(match->start, (size_t)(match->end - match->start)));
	} else {
		if (!lua_isstring(lua, -1))
			luaL_error(lua, "invalid replacement value (a %s)", luaL_typename(lua, -1));
		policy_builder_add(builder, policy_check_slice(lua, -1));
	}
	lua_pop(lua, 1);
}

int policy_string_gsub(lua_State *lua)
{
	struct pn_slice subject = policy_check_slice(lua, 1);
	const char *at = subject.data, *end = subject.data + subject.size, *last_end = NULL;
	int type = lua_type(lua, 3);
	lua_Integer left, count = 0;
	struct policy_builder builder;
	struct pn_pattern_match match;

	luaL_checkstring(lua, 2);
	left = luaL_optinteger(lua, 4, (lua_Integer)subject.size + 1);
	luaL_argexpected(lua,
	                 type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE ||
	                         type == LUA_TFUNCTION,
	                 3, "string/function/table");
	lua_settop(lua, 3);
	init_match(&match, lua, push_pattern(lua, 2, true), subject);
	policy_builder_init(&builder, lua);
	while (count < left) {
		if (pn_pattern_at(&match, at) && match.end != last_end) {
			count++;
			settle(&match);
			if (type == LUA_TTABLE || type == LUA_TFUNCTION)
				add_value(&builder, &match, type);
			else
				add_text(&builder, &match, policy_check_slice(lua, 3));
			at = last_end = match.end;
		} else if (at < end) {
			policy_builder_add_byte(&builder, *at++);
		} else {
			break;
		}
		if (match.pattern->is_anchored)
			break;
	}
	settle(&match);
	policy_builder_add(&builder, pn_slice_make(at, (size_t)(end - at)));
	policy_builder_push(&builder);
	lua_pushinteger(lua, count);
	return 2;
}
