/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts as values: reject(550, "5.7.1", "text") makes one, and a hook returns
 * it. A verdict that a hook made and did not return is a mistake that would let
 * mail pass, so it counts as a failure of the hook.
 */
#include "policy/state.h"

#include <postern/text.h>

#include <stdio.h>

#define VERDICT_TYPE "postern.verdict"

static struct policy_verdict *push_verdict(lua_State *lua, enum pn_verdict kind)
{
	struct policy_run *run = policy_state_of(lua)->running;
	struct policy_verdict *verdict = lua_newuserdatauv(lua, sizeof(*verdict), 0);
	lua_Debug place;

	memset(verdict, 0, sizeof(*verdict));
	verdict->verdict = kind;
	luaL_setmetatable(lua, VERDICT_TYPE);
	/* Verdicts that a file keeps in a global while it is read are no hook's. */
	if (run != NULL && run->call != NULL && lua_getstack(lua, 1, &place)) {
		lua_getinfo(lua, "l", &place);
		run->unused_verdict_line = place.currentline > 0 ? place.currentline : 1;
	}
	return verdict;
}

/* The text at `index`: one line of at most 255 bytes. */
static void take_text(lua_State *lua, int index, const char *what, struct policy_verdict *verdict)
{
	struct pn_slice text = policy_check_slice(lua, index);

	luaL_argcheck(lua, text.size < sizeof(verdict->text), index,
	              lua_pushfstring(lua, "%s is longer than 255 bytes", what));
	for (size_t at = 0; at < text.size; at++) {
		unsigned char byte = (unsigned char)text.data[at];

		luaL_argcheck(lua, byte >= ' ' && byte != 0x7f, index,
		              lua_pushfstring(lua, "%s has a control character in it", what));
	}
	memcpy(verdict->text, text.data, text.size);
}

/* "5.7.1" for a code of class 5 (RFC 3463 section 2). */
static bool is_enhanced(struct pn_slice text, unsigned class)
{
	struct pn_slice rest = text;
	uint64_t number;

	if (text.size > 9 || pn_parse_count(pn_slice_cut(&rest, '.'), &number) != PN_OK ||
	    number != class)
		return false;
	for (int part = 0; part < 2; part++) {
		struct pn_slice digits = pn_slice_cut(&rest, '.');

		if (digits.size > 3 || pn_parse_count(digits, &number) != PN_OK)
			return false;
	}
	return rest.size == 0 && text.data[text.size - 1] != '.';
}

/* reject and defer: (code, enhanced, text), from the left as many as one likes. */
static int push_refusal(lua_State *lua, enum pn_verdict kind, unsigned class)
{
	struct policy_verdict *verdict;
	lua_Integer code = luaL_optinteger(lua, 1, 0);

	lua_settop(lua, 3);
	if (!lua_isnoneornil(lua, 1))
		luaL_argcheck(lua, code >= class * 100 && code <= class * 100 + 99, 1,
		              class == 5 ? "the code must be from 500 to 599"
		                         : "the code must be from 400 to 499");
	verdict = push_verdict(lua, kind);
	verdict->code = (unsigned)code;
	if (!lua_isnil(lua, 2)) {
		struct pn_slice enhanced = policy_check_slice(lua, 2);

		luaL_argcheck(lua, is_enhanced(enhanced, class), 2,
		              class == 5 ? "the enhanced code must look like \"5.7.1\""
		                         : "the enhanced code must look like \"4.7.1\"");
		memcpy(verdict->enhanced, enhanced.data, enhanced.size);
	}
	if (!lua_isnil(lua, 3))
		take_text(lua, 3, "the text", verdict);
	else if (verdict->code != 0)
		snprintf(verdict->text, sizeof(verdict->text), "%s",
		         class == 5 ? "refused by policy" : "not now, try again later");
	if (verdict->code == 0 && (!lua_isnil(lua, 2) || !lua_isnil(lua, 3)))
		luaL_argerror(lua, 1, "a reply needs its code");
	return 1;
}

static int verdict_reject(lua_State *lua)
{
	return push_refusal(lua, PN_VERDICT_REJECT, 5);
}

static int verdict_defer(lua_State *lua)
{
	return push_refusal(lua, PN_VERDICT_DEFER, 4);
}

static int verdict_continue(lua_State *lua)
{
	push_verdict(lua, PN_VERDICT_CONTINUE);
	return 1;
}

static int verdict_accept(lua_State *lua)
{
	push_verdict(lua, PN_VERDICT_ACCEPT);
	return 1;
}

static int verdict_drop(lua_State *lua)
{
	push_verdict(lua, PN_VERDICT_DROP);
	return 1;
}

static int verdict_hold(lua_State *lua)
{
	push_verdict(lua, PN_VERDICT_HOLD);
	return 1;
}

static int verdict_greylist(lua_State *lua)
{
	push_verdict(lua, PN_VERDICT_GREYLIST);
	return 1;
}

static int verdict_discard(lua_State *lua)
{
	lua_settop(lua, 1);
	luaL_checktype(lua, 1, LUA_TSTRING); /* a reason is owed: it is recorded */
	take_text(lua, 1, "the reason", push_verdict(lua, PN_VERDICT_DISCARD));
	return 1;
}

static int verdict_quarantine(lua_State *lua)
{
	struct policy_verdict *verdict;

	lua_settop(lua, 1);
	verdict = push_verdict(lua, PN_VERDICT_QUARANTINE);
	if (!lua_isnil(lua, 1))
		take_text(lua, 1, "the mailbox", verdict);
	luaL_argcheck(lua, policy_is_mailbox_name(pn_slice_of(verdict->text)), 1,
	              "the name of a mailbox is UTF-8");
	return 1;
}

static int verdict_redirect(lua_State *lua)
{
	lua_settop(lua, 1);
	luaL_checktype(lua, 1, LUA_TSTRING);
	luaL_argcheck(lua, lua_rawlen(lua, 1) > 0, 1, "the address is empty");
	take_text(lua, 1, "the address", push_verdict(lua, PN_VERDICT_REDIRECT));
	return 1;
}

static int verdict_tostring(lua_State *lua)
{
	const struct policy_verdict *verdict = luaL_checkudata(lua, 1, VERDICT_TYPE);

	if (verdict->code != 0)
		lua_pushfstring(lua, "%s(%d, \"%s\", \"%s\")", pn_verdict_name(verdict->verdict),
		                (int)verdict->code, verdict->enhanced, verdict->text);
	else
		lua_pushfstring(lua, "%s(%s)", pn_verdict_name(verdict->verdict), verdict->text);
	return 1;
}

void policy_add_verdicts(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"accept", verdict_accept},
		{"continue", verdict_continue},
		{"defer", verdict_defer},
		{"discard", verdict_discard},
		{"drop", verdict_drop},
		{"greylist", verdict_greylist},
		{"hold", verdict_hold},
		{"quarantine", verdict_quarantine},
		{"redirect", verdict_redirect},
		{"reject", verdict_reject},
		{NULL, NULL},
	};

	luaL_newmetatable(lua, VERDICT_TYPE);
	lua_pushliteral(lua, "verdict");
	lua_setfield(lua, -2, "__name");
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_pushcfunction(lua, verdict_tostring);
	lua_setfield(lua, -2, "__tostring");
	lua_pop(lua, 1);
	luaL_setfuncs(lua, functions, 0);
}

void policy_read_verdict(lua_State *lua, int index, struct policy_run *run)
{
	const struct policy_verdict *verdict;

	if (lua_isnil(lua, index)) {
		if (run->unused_verdict_line != 0) {
			lua_pushfstring(lua,
			                "%s:%d: a verdict was made here and not returned: write "
			                "`return` before it",
			                run->state->file->chunk, run->unused_verdict_line);
			lua_error(lua);
		}
		run->verdict.verdict = PN_VERDICT_CONTINUE;
		return;
	}
	verdict = luaL_testudata(lua, index, VERDICT_TYPE);
	if (verdict == NULL) {
		const char *name = luaL_typename(lua, index);

		if (luaL_getmetafield(lua, index, "__name") == LUA_TSTRING)
			name = lua_tostring(lua, -1);
		lua_pushfstring(lua, "a hook returns a verdict or nothing, not a %s", name);
		lua_error(lua);
	}
	run->verdict = *verdict;
}
