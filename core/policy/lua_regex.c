/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.find, match, test, gmatch, gsub, escape: Perl's regular expressions by
 * PCRE2, bounded. What a pattern costs on strangers' text cannot be told from
 * either: so PCRE2 calls back before each item of the pattern that it tries, and is
 * told to stop when the budget is used up (its own limits count from zero at each
 * place of the text). Its memory is the state's. The just-in-time compiler is not
 * used: it does not call back.
 */
#include "policy/builder.h"
#include "policy/state.h"

#include "base/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
	PATTERN_MAX = 4096,
	SUBJECT_MAX = 1024 * 1024,
	CAPTURES_MAX = 32,
	NESTING_MAX = 100,
	CACHED_MAX = 64,           /* compiled patterns of one state */
	HEAP_KIB_MAX = 4096,       /* of one match, while it lasts */
	HEAP_KEPT_MAX = 64 * 1024, /* of it between two matches */
	DEPTH_MAX = 100000,
	STEPS_PER_ITEM = 4,
	STEPS_PER_PATTERN = 2000,
	STEPS_PER_PATTERN_BYTE = 40,
};

static const char library_key; /* its address names the library in the registry */
static const char cache_key;

/* Of one state; in the registry. */
struct regex_library {
	pcre2_general_context *general;
	pcre2_compile_context *compile;
	pcre2_match_context *match;
	pcre2_match_data *data; /* used again, as long as it is small */
	size_t cached;
};

struct regex_code {
	pcre2_code *code;
	size_t capture_count;
	bool refers_back;
	bool is_utf;
};

/* What a match found; our own copy, because a callback may match something else. */
struct regex_match {
	size_t count; /* pairs that are set, the whole match included */
	PCRE2_SIZE pairs[2 * (CAPTURES_MAX + 1)];
};

/* One match under way. */
struct regex_walk {
	lua_State *lua;
	size_t place;
	uint64_t weight; /* of each item, for the clock */
};

/* ---- memory ---- */

enum { BLOCK_HEAD = 16 };

static void *take_memory(PCRE2_SIZE size, void *user)
{
	char *block = size > SIZE_MAX - BLOCK_HEAD
	                      ? NULL
	                      : pn_lua_memory_allocate(user, NULL, 0, size + BLOCK_HEAD);

	if (block == NULL)
		return NULL;
	memcpy(block, &size, sizeof(size));
	return block + BLOCK_HEAD;
}

static void give_memory(void *memory, void *user)
{
	char *block = memory;
	PCRE2_SIZE size;

	if (block == NULL)
		return;
	block -= BLOCK_HEAD;
	memcpy(&size, block, sizeof(size));
	pn_lua_memory_allocate(user, block, size + BLOCK_HEAD, 0);
}

static int free_code(lua_State *lua)
{
	struct regex_code *code = lua_touserdata(lua, 1);

	pcre2_code_free(code->code);
	code->code = NULL;
	return 0;
}

static int free_library(lua_State *lua)
{
	struct regex_library *library = lua_touserdata(lua, 1);

	pcre2_match_data_free(library->data);
	pcre2_match_context_free(library->match);
	pcre2_compile_context_free(library->compile);
	pcre2_general_context_free(library->general);
	memset(library, 0, sizeof(*library));
	return 0;
}

static void set_collector(lua_State *lua, lua_CFunction collect)
{
	lua_createtable(lua, 0, 1);
	lua_pushcfunction(lua, collect);
	lua_setfield(lua, -2, "__gc");
	lua_setmetatable(lua, -2);
}

static int count_item(pcre2_callout_block *block, void *user)
{
	struct regex_walk *walk = user;
	size_t distance =
		block->current_position > walk->place ? block->current_position - walk->place : 0;

	walk->place = block->current_position;
	return policy_budget_take(walk->lua, STEPS_PER_ITEM + distance / 16, walk->weight)
	               ? PCRE2_ERROR_CALLOUT
	               : 0;
}

static void init_library(lua_State *lua)
{
	struct regex_library *library = lua_newuserdatauv(lua, sizeof(*library), 0);

	memset(library, 0, sizeof(*library));
	set_collector(lua, free_library);
	lua_rawsetp(lua, LUA_REGISTRYINDEX, &library_key);
	library->general = pcre2_general_context_create(take_memory, give_memory,
	                                                &policy_state_of(lua)->memory);
	if (library->general != NULL) {
		library->compile = pcre2_compile_context_create(library->general);
		library->match = pcre2_match_context_create(library->general);
	}
	if (library->compile == NULL || library->match == NULL)
		luaL_error(lua, "there is no memory for regular expressions");
	pcre2_set_parens_nest_limit(library->compile, NESTING_MAX);
	pcre2_set_max_pattern_length(library->compile, PATTERN_MAX);
	pcre2_set_heap_limit(library->match, HEAP_KIB_MAX);
	pcre2_set_depth_limit(library->match, DEPTH_MAX);
	lua_createtable(lua, 0, 0);
	lua_rawsetp(lua, LUA_REGISTRYINDEX, &cache_key);
}

static struct regex_library *library_of(lua_State *lua)
{
	struct regex_library *library;

	lua_rawgetp(lua, LUA_REGISTRYINDEX, &library_key);
	library = lua_touserdata(lua, -1);
	lua_pop(lua, 1);
	return library;
}

/* ---- patterns ---- */

static uint32_t read_flags(lua_State *lua, struct pn_slice flags)
{
	uint32_t options = 0;

	for (size_t index = 0; index < flags.size; index++) {
		switch (flags.data[index]) {
		case 'i':
			options |= PCRE2_CASELESS;
			break;
		case 'm':
			options |= PCRE2_MULTILINE;
			break;
		case 's':
			options |= PCRE2_DOTALL;
			break;
		case 'x':
			options |= PCRE2_EXTENDED;
			break;
		case 'u':
			options |= PCRE2_UTF | PCRE2_UCP;
			break;
		default:
			luaL_error(lua, "regex: flags are of the letters i, m, s, x, u");
		}
	}
	return options | ((options & PCRE2_UTF) != 0 ? 0 : PCRE2_NEVER_UTF);
}

/* Compiles into the block on top of the stack. */
static void compile(lua_State *lua, struct regex_code *code, struct pn_slice pattern,
                    uint32_t options)
{
	uint32_t captures = 0, references = 0;
	PCRE2_SIZE place = 0, size = 0;
	PCRE2_UCHAR text[128];
	int number = 0;

	luaL_argcheck(lua, pattern.size <= PATTERN_MAX, 2, "a pattern has at most 4096 bytes");
	policy_budget_spend(lua, STEPS_PER_PATTERN + STEPS_PER_PATTERN_BYTE * pattern.size);
	code->code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.size,
	                           options | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C, &number,
	                           &place, library_of(lua)->compile);
	if (code->code == NULL) {
		pcre2_get_error_message(number, text, sizeof(text));
		luaL_error(lua, "regex: %s, at byte %d of the pattern", (const char *)text,
		           (int)place + 1);
	}
	pcre2_pattern_info(code->code, PCRE2_INFO_CAPTURECOUNT, &captures);
	pcre2_pattern_info(code->code, PCRE2_INFO_BACKREFMAX, &references);
	pcre2_pattern_info(code->code, PCRE2_INFO_SIZE, &size);
	if (captures > CAPTURES_MAX)
		luaL_error(lua, "regex: a pattern has at most %d captures", CAPTURES_MAX);
	policy_budget_spend(lua, size / 8);
	code->capture_count = captures;
	code->refers_back = references > 0;
	code->is_utf = (options & PCRE2_UTF) != 0;
}

/* Pushes the compiled pattern: from the cache, or into it. When it is full it begins anew, so that
 * patterns that are made of strangers' text do not fill it for good. */
static const struct regex_code *push_code(lua_State *lua, int pattern_index, int flags_index)
{
	struct pn_slice pattern = policy_check_slice(lua, pattern_index);
	struct pn_slice flags = lua_isnoneornil(lua, flags_index)
	                                ? PN_SLICE("")
	                                : policy_check_slice(lua, flags_index);
	struct regex_library *library = library_of(lua);
	struct regex_code *code;

	luaL_argcheck(lua, flags.size <= 8, flags_index, "flags are of the letters i, m, s, x, u");
	lua_rawgetp(lua, LUA_REGISTRYINDEX, &cache_key);
	lua_pushlstring(lua, flags.data, flags.size);
	lua_pushliteral(lua, "/");
	lua_pushlstring(lua, pattern.data, pattern.size);
	lua_concat(lua, 3);
	lua_pushvalue(lua, -1);
	if (lua_rawget(lua, -3) == LUA_TUSERDATA) {
		code = lua_touserdata(lua, -1);
		lua_replace(lua, -3);
		lua_pop(lua, 1);
		return code;
	}
	lua_pop(lua, 1);
	code = lua_newuserdatauv(lua, sizeof(*code), 0);
	memset(code, 0, sizeof(*code));
	set_collector(lua, free_code);
	compile(lua, code, pattern, read_flags(lua, flags));
	if (library->cached >= CACHED_MAX) {
		lua_createtable(lua, 0, 0);
		lua_pushvalue(lua, -1);
		lua_rawsetp(lua, LUA_REGISTRYINDEX, &cache_key);
		lua_replace(lua, -4);
		library->cached = 0;
	}
	library->cached++;
	lua_rotate(lua, -2, 1);
	lua_pushvalue(lua, -2);
	lua_rawset(lua, -4);
	lua_replace(lua, -2);
	return code;
}

static bool is_utf8(struct pn_slice text)
{
	uint32_t code_point;
	size_t size;

	while (text.size > 0) {
		size = pn_utf8_next(text, &code_point);
		if (size == 0)
			return false;
		text = pn_slice_behind(text, size);
	}
	return true;
}

static struct pn_slice check_subject(lua_State *lua, int index, const struct regex_code *code)
{
	struct pn_slice subject = policy_check_slice(lua, index);

	luaL_argcheck(lua, subject.size <= SUBJECT_MAX, index, "a text has at most 1 MiB");
	policy_budget_spend(lua, 16);
	if (code->is_utf) {
		policy_budget_spend(lua, subject.size / 4);
		luaL_argcheck(lua, is_utf8(subject), index, "the text is no UTF-8 (flag u)");
	}
	return subject;
}

/* ---- matching ---- */

/* The match at or behind the offset. Raises, and does not return when the budget is used up. */
static bool match_from(lua_State *lua, const struct regex_code *code, struct pn_slice subject,
                       size_t offset, struct regex_match *match)
{
	struct regex_library *library = library_of(lua);
	struct pn_lua_memory *memory = &policy_state_of(lua)->memory;
	struct regex_walk walk = {
		.lua = lua,
		.place = offset,
		.weight = 16 + subject.size / (code->refers_back ? 16 : 64),
	};
	size_t before;
	int result;

	if (library->data == NULL)
		library->data = pcre2_match_data_create(CAPTURES_MAX + 1, library->general);
	if (library->data == NULL)
		return luaL_error(lua, "regex: there is no memory to match this") != 0;
	before = memory->used;
	pcre2_set_callout(library->match, count_item, &walk);
	result = pcre2_match(code->code, (PCRE2_SPTR)(subject.size ? subject.data : ""),
	                     subject.size, offset, code->is_utf ? PCRE2_NO_UTF_CHECK : 0,
	                     library->data, library->match);
	if (result > 0) {
		match->count = (size_t)result;
		memcpy(match->pairs, pcre2_get_ovector_pointer(library->data),
		       2 * match->count * sizeof(match->pairs[0]));
	}
	if (memory->used > before + HEAP_KEPT_MAX) {
		pcre2_match_data_free(library->data);
		library->data = NULL;
	}
	if (result == PCRE2_ERROR_CALLOUT)
		policy_budget_stop(lua);
	policy_budget_spend(lua, 8);
	if (result == PCRE2_ERROR_NOMATCH)
		return false;
	if (result <= 0)
		return luaL_error(lua, "regex: the pattern backs up too often on this text") != 0;
	/* \K can put the start behind the end. */
	if (match->pairs[0] > match->pairs[1])
		match->pairs[0] = match->pairs[1];
	return true;
}

static void push_capture(lua_State *lua, const struct regex_match *match, struct pn_slice subject,
                         size_t index)
{
	if (index >= match->count || match->pairs[2 * index] == PCRE2_UNSET)
		lua_pushnil(lua);
	else
		policy_push_slice(
			lua, pn_slice_make(subject.data + match->pairs[2 * index],
		                           match->pairs[2 * index + 1] - match->pairs[2 * index]));
}

/* All captures, nil for those that took no part; the whole match where there are none. */
static int push_captures(lua_State *lua, const struct regex_code *code,
                         const struct regex_match *match, struct pn_slice subject, bool or_whole)
{
	luaL_checkstack(lua, CAPTURES_MAX, "too many captures");
	for (size_t index = 1; index <= code->capture_count; index++)
		push_capture(lua, match, subject, index);
	if (code->capture_count > 0 || !or_whole)
		return (int)code->capture_count;
	push_capture(lua, match, subject, 0);
	return 1;
}

/* Where the search begins, from 0; more than the size: nowhere. */
static size_t begin_offset(lua_State *lua, int index, size_t size)
{
	lua_Integer position = luaL_optinteger(lua, index, 1);

	if (position > 0)
		return (size_t)position - 1;
	if (position == 0 || position < -(lua_Integer)size)
		return 0;
	return size - (size_t)-position;
}

/* The offset of the next character: never within one. */
static size_t next_offset(const struct regex_code *code, struct pn_slice subject, size_t offset)
{
	offset++;
	while (code->is_utf && offset < subject.size &&
	       ((unsigned char)subject.data[offset] & 0xc0) == 0x80)
		offset++;
	return offset;
}

/* Arguments: text, pattern, flags, where to begin. */
static bool search(lua_State *lua, const struct regex_code **code_out, struct pn_slice *subject_out,
                   struct regex_match *match)
{
	const struct regex_code *code = push_code(lua, 2, 3);
	struct pn_slice subject = check_subject(lua, 1, code);
	size_t offset = begin_offset(lua, 4, subject.size);

	*code_out = code;
	*subject_out = subject;
	if (code->is_utf && offset > 0 && offset < subject.size)
		offset = next_offset(code, subject, offset - 1);
	return offset <= subject.size && match_from(lua, code, subject, offset, match);
}

static int regex_find(lua_State *lua)
{
	const struct regex_code *code;
	struct pn_slice subject;
	struct regex_match match;

	lua_settop(lua, 4);
	if (!search(lua, &code, &subject, &match)) {
		lua_pushnil(lua);
		return 1;
	}
	lua_pushinteger(lua, (lua_Integer)match.pairs[0] + 1);
	lua_pushinteger(lua, (lua_Integer)match.pairs[1]);
	return 2 + push_captures(lua, code, &match, subject, false);
}

static int regex_match(lua_State *lua)
{
	const struct regex_code *code;
	struct pn_slice subject;
	struct regex_match match;

	lua_settop(lua, 4);
	if (!search(lua, &code, &subject, &match)) {
		lua_pushnil(lua);
		return 1;
	}
	return push_captures(lua, code, &match, subject, true);
}

static int regex_test(lua_State *lua)
{
	const struct regex_code *code;
	struct pn_slice subject;
	struct regex_match match;

	lua_settop(lua, 4);
	lua_pushboolean(lua, search(lua, &code, &subject, &match));
	return 1;
}

/* ---- gmatch ---- */

/* Upvalues: text, pattern (compiled), offset of the next try, end of the last match (-1: none). */
static int gmatch_step(lua_State *lua)
{
	struct pn_slice subject = policy_check_slice(lua, lua_upvalueindex(1));
	const struct regex_code *code = lua_touserdata(lua, lua_upvalueindex(2));
	size_t offset = (size_t)lua_tointeger(lua, lua_upvalueindex(3));
	lua_Integer last_end = lua_tointeger(lua, lua_upvalueindex(4));
	struct regex_match match;

	while (offset <= subject.size && match_from(lua, code, subject, offset, &match)) {
		/* An empty match right where the last one ended is that one's end again. */
		if ((lua_Integer)match.pairs[1] == last_end && match.pairs[0] == match.pairs[1]) {
			offset = next_offset(code, subject, match.pairs[1]);
			continue;
		}
		lua_pushinteger(lua, (lua_Integer)match.pairs[1]);
		lua_copy(lua, -1, lua_upvalueindex(3));
		lua_replace(lua, lua_upvalueindex(4));
		return push_captures(lua, code, &match, subject, true);
	}
	lua_pushinteger(lua, (lua_Integer)subject.size + 1);
	lua_replace(lua, lua_upvalueindex(3));
	return 0;
}

static int regex_gmatch(lua_State *lua)
{
	const struct regex_code *code;

	lua_settop(lua, 3);
	code = push_code(lua, 2, 3);
	check_subject(lua, 1, code);
	lua_pushvalue(lua, 1);
	lua_rotate(lua, -2, 1);
	lua_pushinteger(lua, 0);
	lua_pushinteger(lua, -1);
	lua_pushcclosure(lua, gmatch_step, 4);
	return 1;
}

/* ---- gsub ---- */

/* One replacement under way. */
struct regex_gsub {
	const struct regex_code *code;
	struct pn_slice subject;
	struct regex_match match;
	struct policy_builder builder;
};

/* The replacement text, with its %0 … %9 and %%, as those of string.gsub. */
static void add_text(struct regex_gsub *work, struct pn_slice replacement)
{
	lua_State *lua = work->builder.lua;

	for (size_t at = 0; at < replacement.size; at++) {
		char byte = replacement.data[at];
		size_t index;

		if (byte != '%') {
			policy_builder_add_byte(&work->builder, byte);
			continue;
		}
		byte = ++at < replacement.size ? replacement.data[at] : '\0';
		index = (size_t)(byte - '0');
		if (byte == '%') {
			policy_builder_add_byte(&work->builder, '%');
			continue;
		}
		if (byte < '0' || byte > '9')
			luaL_error(lua, "regex: invalid use of '%%' in the replacement");
		if (index > work->code->capture_count && !(index == 1))
			luaL_error(lua, "regex: the pattern has no capture %%%d", (int)index);
		push_capture(lua, &work->match, work->subject,
		             index > work->code->capture_count ? 0 : index);
		if (!lua_isnil(lua, -1))
			policy_builder_add(&work->builder, policy_check_slice(lua, -1));
		lua_pop(lua, 1);
	}
	policy_budget_spend(lua, replacement.size / 4);
}

/* The replacement by table or function (at index 3); nil and false keep the match. */
static void add_value(struct regex_gsub *work, int type)
{
	lua_State *lua = work->builder.lua;
	int captures;

	if (type == LUA_TFUNCTION) {
		lua_pushvalue(lua, 3);
		captures = push_captures(lua, work->code, &work->match, work->subject, true);
		lua_call(lua, captures, 1);
	} else {
		captures = push_captures(lua, work->code, &work->match, work->subject, true);
		lua_pop(lua, captures - 1);
		lua_gettable(lua, 3);
	}
	if (!lua_toboolean(lua, -1)) {
		lua_pop(lua, 1);
		push_capture(lua, &work->match, work->subject, 0);
	}
	if (!lua_isstring(lua, -1))
		luaL_error(lua, "regex: a replacement is no %s", luaL_typename(lua, -1));
	policy_builder_add(&work->builder, policy_check_slice(lua, -1));
	lua_pop(lua, 1);
}

static lua_Integer replace_all(lua_State *lua, struct regex_gsub *work, int type, lua_Integer left)
{
	struct pn_slice subject = work->subject;
	size_t at = 0, done = 0;
	lua_Integer count = 0, last_end = -1;

	while (count < left && at <= subject.size &&
	       match_from(lua, work->code, subject, at, &work->match)) {
		size_t start = work->match.pairs[0], end = work->match.pairs[1];

		if ((start == end && (lua_Integer)end == last_end) || start < done) {
			at = next_offset(work->code, subject, end);
			continue;
		}
		policy_builder_add(&work->builder,
		                   pn_slice_make(subject.data + done, start - done));
		if (type == LUA_TTABLE || type == LUA_TFUNCTION)
			add_value(work, type);
		else
			add_text(work, policy_check_slice(lua, 3));
		count++;
		at = done = end;
		last_end = (lua_Integer)end;
	}
	policy_builder_add(&work->builder, pn_slice_behind(subject, done));
	return count;
}

/* regex.gsub(text, pattern, replacement[, flags[, how often]]): the text, and how often. */
static int regex_gsub(lua_State *lua)
{
	int type = lua_type(lua, 3);
	struct regex_gsub work;
	lua_Integer left, count;

	lua_settop(lua, 5);
	luaL_argexpected(lua,
	                 type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE ||
	                         type == LUA_TFUNCTION,
	                 3, "string/function/table");
	left = luaL_optinteger(lua, 5, SUBJECT_MAX + 1);
	work.code = push_code(lua, 2, 4);
	work.subject = check_subject(lua, 1, work.code);
	policy_builder_init(&work.builder, lua);
	count = replace_all(lua, &work, type, left);
	policy_builder_push(&work.builder);
	lua_pushinteger(lua, count);
	return 2;
}

/* A pattern that matches exactly this text. */
static int regex_escape(lua_State *lua)
{
	struct pn_slice text = policy_check_slice(lua, 1);
	struct policy_builder builder;

	policy_builder_init(&builder, lua);
	for (size_t index = 0; index < text.size; index++) {
		unsigned char byte = (unsigned char)text.data[index];
		bool is_plain = byte >= 0x80 || byte == '_' || (byte >= '0' && byte <= '9') ||
		                (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');

		if (byte == '\0') {
			policy_builder_add(&builder, PN_SLICE("\\x00"));
			continue;
		}
		if (!is_plain)
			policy_builder_add_byte(&builder, '\\');
		policy_builder_add_byte(&builder, text.data[index]);
	}
	policy_builder_push(&builder);
	return 1;
}

void policy_push_regex(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"escape", regex_escape},
		{"find", regex_find},
		{"gmatch", regex_gmatch},
		{"gsub", regex_gsub},
		{"match", regex_match},
		{"test", regex_test},
		{NULL, NULL},
	};

	init_library(lua);
	lua_createtable(lua, 0, 6);
	luaL_setfuncs(lua, functions, 0);
}
