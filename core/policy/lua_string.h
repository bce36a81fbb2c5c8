/* SPDX-License-Identifier: Apache-2.0 */
/* The larger functions of the string library, each in a file of its own kind. */
#ifndef CORE_POLICY_LUA_STRING_H
#define CORE_POLICY_LUA_STRING_H

#include "policy/state.h"

/* ---- lua_search.c ---- */
int policy_string_find(lua_State *lua);
int policy_string_match(lua_State *lua);
int policy_string_gmatch(lua_State *lua);
int policy_string_gsub(lua_State *lua);

/* ---- lua_format.c ---- */
int policy_string_format(lua_State *lua);

#endif
