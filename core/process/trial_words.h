/* SPDX-License-Identifier: Apache-2.0 */
/* What the files share that teach a spec its words; see trial_words.c. */
#ifndef CORE_PROCESS_TRIAL_WORDS_H
#define CORE_PROCESS_TRIAL_WORDS_H

#include "process/trial.h"

#include <lauxlib.h>
#include <lua.h>

/* Raises where no case is under way: the word says something of one. */
void pn_trial_need_case(lua_State *lua, const char *word);

/* Puts the fields of run(stage, fields), a table at 2, into the trial. What the stage is about beyond
 * session, message and recipient; or NULL. */
const void *pn_trial_take_fields(lua_State *lua, enum pn_stage stage, bool *with_session_out);

/* What came of a run: score, header, route …; and the world it runs in: dns, http, advance … */
extern const luaL_Reg pn_trial_result_words[];
extern const luaL_Reg pn_trial_world_words[];

#endif
