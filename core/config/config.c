/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the configuration file: its bytes, a Lua state with nothing in it but the
 * words, one run under a budget, and then plain rows in an arena. Main thread.
 */
#include "config/reading.h"

#include <lauxlib.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/digest.h"
#include "io/file.h"

enum { INSTRUCTION_STEP = 250 };

/* ---- running the file ---- */

static uint64_t processor_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void count_instructions(lua_State *lua, lua_Debug *place)
{
	struct pn_config_reading *reading = *(struct pn_config_reading **)lua_getextraspace(lua);

	(void)place;
	reading->instructions += INSTRUCTION_STEP;
	/* Few instructions can be much work: each turn of `s = s .. x` copies all of s. */
	if (reading->instructions > PN_CONFIG_INSTRUCTIONS_MAX ||
	    processor_ms() - reading->started_cpu_ms > PN_CONFIG_CPU_MAX_MS)
		pn_config_raise(reading, pn_config_line(lua),
		                "the file runs for too long: is there a loop without end?");
}

/* In protected mode: everything that may raise. */
static int run_file(lua_State *lua)
{
	struct pn_config_reading *reading = lua_touserdata(lua, 1);

	lua_settop(lua, 0);
	/* "?" is short enough never to be cut; translate_error puts the path there. */
	if (luaL_loadbufferx(lua, reading->text.size ? reading->text.data : "", reading->text.size,
	                     "=?", "t") != LUA_OK)
		return lua_error(lua);
	pn_config_push_environment(reading);
	if (lua_setupvalue(lua, 1, 1) == NULL)
		lua_pop(lua, 1);
	reading->started_cpu_ms = processor_ms();
	lua_sethook(lua, count_instructions, LUA_MASKCOUNT, INSTRUCTION_STEP);
	lua_call(lua, 0, 0);
	return 0;
}

/* Lua's own message, "?:12: what", with the path of the file. */
static void translate_error(struct pn_config_reading *reading, int problem)
{
	const char *message = NULL;
	const char *rest;
	char *end;

	if (reading->has_error)
		return;
	if (lua_type(reading->lua, -1) == LUA_TSTRING)
		message = lua_tostring(reading->lua, -1);
	if (problem == LUA_ERRMEM || message == NULL) {
		pn_config_fail(reading, 1, "the file takes too much memory");
		return;
	}
	rest = strncmp(message, "?:", 2) == 0 ? message + 2 : message;

	long line = strtol(rest, &end, 10);

	if (rest == message || end == rest || strncmp(end, ": ", 2) != 0)
		pn_config_fail(reading, 1, "%s", message);
	else
		pn_config_fail(reading, (int)line, "%s", end + 2);
}

static enum pn_status run_text(struct pn_config_reading *reading)
{
	enum pn_status status = PN_OK;

	reading->memory.limit = PN_CONFIG_MEMORY_MAX;
	reading->lua = lua_newstate(pn_lua_memory_allocate, &reading->memory);
	if (reading->lua == NULL)
		return pn_config_fail(reading, 1, "there is no memory to read the file");
	*(struct pn_config_reading **)lua_getextraspace(reading->lua) = reading;
	/* Neither of these two allocates: the function has no upvalues. */
	lua_pushcfunction(reading->lua, run_file);
	lua_pushlightuserdata(reading->lua, reading);

	int problem = lua_pcall(reading->lua, 1, 0, 0);

	if (problem != LUA_OK) {
		translate_error(reading, problem);
		status = PN_FAILED;
	}
	lua_close(reading->lua);
	reading->lua = NULL;
	return status;
}

static enum pn_status apply_settings(struct pn_config_reading *reading)
{
	struct pn_settings settings = {
		.file = reading->config->file,
		.line = 1,
		.what = "the gateway",
		.directory = reading->directory,
		.rows = reading->settings,
		.count = reading->setting_count,
	};

	return pn_options_apply(pn_gateway_options, sizeof(struct pn_option), &settings,
	                        reading->arena, &reading->config->settings, reading->error);
}

/* ---- public ---- */

static const char *directory_of(struct pn_arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path)
		return "/";
	return pn_arena_keep_text(arena, pn_slice_make(path, (size_t)(slash - path)));
}

enum pn_status pn_config_parse(const char *path, struct pn_slice text,
                               struct pn_config **config_out, struct pn_error *error)
{
	struct pn_error ignored;
	struct pn_arena *arena = pn_arena_new();
	struct pn_config *config = PN_ARENA_NEW(arena, struct pn_config);
	struct pn_config_reading reading = {.config = config,
	                                    .arena = arena,
	                                    .text = text,
	                                    .error = error == NULL ? &ignored : error};
	char digest[PN_SHA256_HEX_SIZE];
	enum pn_status status;

	pn_sha256_hex(text, digest);
	config->arena = arena;
	config->file = pn_arena_keep_text(arena, pn_slice_of(path));
	config->digest = pn_arena_keep_text(arena, pn_slice_of(digest));
	reading.directory = directory_of(arena, config->file);
	reading.domain_names = pn_map_new(0);
	status = run_text(&reading);
	config->listeners = reading.listeners;
	config->certificates = reading.certificates;
	config->domains = reading.domains;
	config->modules = reading.modules;
	config->policies = reading.policies;
	config->destinations = reading.destinations;
	if (status == PN_OK)
		status = apply_settings(&reading);
	if (status == PN_OK)
		status = pn_config_check(&reading);
	pn_map_free(&reading.domain_names);
	if (status != PN_OK)
		pn_config_free(&config);
	else
		*config_out = config;
	return status;
}

enum pn_status pn_config_read(const char *path, struct pn_config **config_out,
                              struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	/* A worker may not see the directory; it is given an absolute path, and the bytes. */
	char *absolute = path[0] == '/' ? strdup(path) : realpath(path, NULL);
	enum pn_status status = PN_FAILED;
	struct pn_slice text = PN_SLICE_NONE;

	if (absolute == NULL) {
		pn_fail_errno(error, errno, "cannot open %s", path);
		goto done;
	}
	if (pn_file_read(absolute, PN_CONFIG_FILE_MAX, arena, &text, error) != PN_OK)
		goto done;
	status = pn_config_parse(absolute, text, config_out, error);
done:
	free(absolute);
	pn_arena_free(&arena);
	return status;
}

void pn_config_free(struct pn_config **config)
{
	struct pn_arena *arena;

	if (*config == NULL)
		return;
	arena = (*config)->arena; /* the struct itself lives in it */
	pn_arena_free(&arena);
	*config = NULL;
}
