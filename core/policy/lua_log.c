/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.info("text") and so on: an event of the session at hand, or of the gateway,
 * with the place in the script.
 */
#include "policy/state.h"

#include <postern/log.h>
#include <postern/session.h>

#include <stdio.h>

enum { TEXT_MAX = 1000 }; /* bytes; more is cut */

static int write_line(lua_State *lua, enum pn_log_level level)
{
	struct pn_slice text = policy_check_slice(lua, 1);
	const struct policy_run *run = policy_state_of(lua)->running;
	char place[96];
	lua_Debug debug;
	struct pn_event *event;

	policy_count_change(lua);
	snprintf(place, sizeof(place), "%s", policy_state_of(lua)->file->chunk);
	if (lua_getstack(lua, 1, &debug)) {
		lua_getinfo(lua, "l", &debug);
		snprintf(place, sizeof(place), "%s:%d", policy_state_of(lua)->file->chunk,
		         debug.currentline);
	}
	if (text.size > TEXT_MAX)
		text.size = TEXT_MAX;
	if (run != NULL && run->call != NULL && run->call->session != NULL)
		event = pn_session_event(run->call->session, level, "policy");
	else
		event = pn_event_new(level, "policy");
	pn_event_text(event, "script", pn_slice_of(place));
	pn_event_text(event, "text", text);
	pn_event_send(&event);
	return 0;
}

static int log_debug(lua_State *lua)
{
	return write_line(lua, PN_LOG_DEBUG);
}

static int log_info(lua_State *lua)
{
	return write_line(lua, PN_LOG_INFO);
}

static int log_notice(lua_State *lua)
{
	return write_line(lua, PN_LOG_NOTICE);
}

static int log_warning(lua_State *lua)
{
	return write_line(lua, PN_LOG_WARNING);
}

static int log_error(lua_State *lua)
{
	return write_line(lua, PN_LOG_ERROR);
}

void policy_push_log(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"debug", log_debug},   {"error", log_error},     {"info", log_info},
		{"notice", log_notice}, {"warning", log_warning}, {NULL, NULL},
	};

	lua_createtable(lua, 0, 5);
	luaL_setfuncs(lua, functions, 0);
}
