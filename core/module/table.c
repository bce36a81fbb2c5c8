/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the struct that was compiled into a module to one of today's size: what
 * an older interface did not have is 0 and means no. Then the checks that spare
 * everybody else from asking whether a name is there. Called once for each module
 * that is loaded; the copies live in the loader's arena.
 */
#include "module/table.h"

#include "module/option_value.h"
#include "module/options.h"

#include <postern/authentication.h>
#include <postern/cache.h>
#include <postern/check.h>
#include <postern/directory.h>
#include <postern/lualib.h>
#include <postern/protocol.h>
#include <postern/source.h>
#include <postern/store.h>
#include <postern/transport.h>

/* A table without its end row stops here. */
enum { MAX_ROWS = 1000 };

/*
 * Copies rows that are `step` apart into rows of `size`, up to and with the one that is_end. NULL
 * where the table does not end.
 */
static void *copy_rows(const void *rows, size_t step, size_t size, bool (*is_end)(const void *row),
                       struct pn_arena *arena)
{
	size_t count = 0;
	char *copies;

	while (count < MAX_ROWS && !is_end((const char *)rows + count * step))
		count++;
	if (count == MAX_ROWS)
		return NULL;
	copies = pn_arena_allocate_array(arena, count + 1, size);
	for (size_t index = 0; index <= count; index++)
		memcpy(copies + index * size, (const char *)rows + index * step, step);
	return copies;
}

static bool is_last_option(const void *row)
{
	return ((const struct pn_option *)row)->type == PN_OPTION_TYPE_END;
}

static bool is_last_hook(const void *row)
{
	return ((const struct pn_hook *)row)->stage == PN_STAGE_NONE;
}

static bool is_last_function(const void *row)
{
	return ((const struct pn_lua_function *)row)->name == NULL;
}

/*
 * A part ("protocol", "store") begins with its size as it was compiled. Returns the copy, or NULL
 * where there is no part or *status is not (or no longer) PN_OK.
 */
static const void *copy_part(const void *part, const char *what, size_t size,
                             struct pn_arena *arena, enum pn_status *status, struct pn_error *error)
{
	uint32_t compiled_size;
	void *copy;

	if (part == NULL || *status != PN_OK)
		return NULL;
	memcpy(&compiled_size, part, sizeof(compiled_size));
	if (compiled_size < sizeof(compiled_size) || compiled_size > size) {
		*status = pn_fail(error,
		                  "its %s has a struct_size of %u bytes; this gateway knows %zu. "
		                  "Set it with sizeof, and rebuild the module",
		                  what, (unsigned)compiled_size, size);
		return NULL;
	}
	copy = pn_arena_allocate(arena, size);
	return memcpy(copy, part, compiled_size);
}

static const struct pn_lua_library *copy_lua_library(const struct pn_lua_library *source,
                                                     struct pn_arena *arena, enum pn_status *status,
                                                     struct pn_error *error)
{
	const struct pn_lua_library *part =
		copy_part(source, "lua_library", sizeof(*source), arena, status, error);
	struct pn_lua_library *copy;

	if (part == NULL)
		return NULL;
	copy = PN_ARENA_NEW(arena, struct pn_lua_library);
	*copy = *part;
	if (copy->functions == NULL ||
	    copy->function_size < offsetof(struct pn_lua_function, call) + sizeof(void (*)(void)) ||
	    copy->function_size > sizeof(struct pn_lua_function)) {
		*status = pn_fail(error,
		                  "its lua_library has no functions, or a function_size of %u "
		                  "bytes; set it with sizeof, and rebuild the module",
		                  (unsigned)copy->function_size);
		return NULL;
	}
	copy->functions = copy_rows(copy->functions, copy->function_size,
	                            sizeof(struct pn_lua_function), is_last_function, arena);
	if (copy->functions == NULL)
		*status = pn_fail(error, "the table of its Lua functions does not end");
	copy->function_size = sizeof(struct pn_lua_function);
	return copy;
}

static enum pn_status copy_parts(const struct pn_module *source, struct pn_arena *arena,
                                 struct pn_module *module, struct pn_error *error)
{
	enum pn_status status = PN_OK;

#define COPY_PART(member)                                                                          \
	module->member =                                                                           \
		copy_part(source->member, #member, sizeof(*source->member), arena, &status, error)
	COPY_PART(protocol);
	COPY_PART(store);
	COPY_PART(directory);
	COPY_PART(authentication);
	COPY_PART(transport);
	COPY_PART(check);
	COPY_PART(cache);
	COPY_PART(source);
#undef COPY_PART
	module->lua_library = copy_lua_library(source->lua_library, arena, &status, error);
	return status;
}

enum pn_status pn_module_copy(const struct pn_module *source, struct pn_arena *arena,
                              struct pn_module *module_out, struct pn_error *error)
{
	struct pn_module module = {.abi_major = 0};
	struct pn_module whole;

	/* The rows of the first interface are the smallest there are. */
	if (source->option_size < offsetof(struct pn_option, summary) + sizeof(const char *) ||
	    source->option_size > sizeof(struct pn_option) ||
	    source->hook_size < offsetof(struct pn_hook, run) + sizeof(void (*)(void)) ||
	    source->hook_size > sizeof(struct pn_hook))
		return pn_fail(error,
		               "its rows have %u and %u bytes; this gateway knows %zu and %zu",
		               (unsigned)source->option_size, (unsigned)source->hook_size,
		               sizeof(struct pn_option), sizeof(struct pn_hook));
	memcpy(&module, source, source->struct_size);
	whole = module;
	if (module.options != NULL)
		module.options = copy_rows(module.options, source->option_size,
		                           sizeof(struct pn_option), is_last_option, arena);
	if (module.hooks != NULL)
		module.hooks = copy_rows(module.hooks, source->hook_size, sizeof(struct pn_hook),
		                         is_last_hook, arena);
	if ((whole.options != NULL && module.options == NULL) ||
	    (whole.hooks != NULL && module.hooks == NULL))
		return pn_fail(error, "a table of its options or hooks does not end");
	module.option_size = sizeof(struct pn_option);
	module.hook_size = sizeof(struct pn_hook);
	if (copy_parts(&whole, arena, &module, error) != PN_OK)
		return PN_FAILED;
	*module_out = module;
	return PN_OK;
}

static bool is_sentence(const char *text)
{
	size_t size = text == NULL ? 0 : strlen(text);

	return size > 1 && text[size - 1] == '.' && strchr(text, '\n') == NULL;
}

static enum pn_status check_hook(const struct pn_hook *hook, size_t index, struct pn_error *error)
{
	if (hook->stage < PN_STAGE_NONE || hook->stage >= PN_STAGE_COUNT)
		return pn_fail(error, "hook %zu is for a stage that this gateway does not know",
		               index);
	if (hook->run == NULL)
		return pn_fail(error, "hook %zu has nothing to run", index);
	if (hook->mode < PN_HOOK_DECIDE || hook->mode > PN_HOOK_SHADOW ||
	    hook->on_error < PN_ON_ERROR_DEFAULT || hook->on_error > PN_ON_ERROR_REJECT)
		return pn_fail(error, "hook %zu has a mode or an on_error that nobody knows",
		               index);
	if (!is_sentence(hook->summary))
		return pn_fail(error, "hook %zu has no summary, one sentence with a full stop",
		               index);
	return PN_OK;
}

static enum pn_status check_options(const struct pn_module *module, struct pn_error *error)
{
	if (module->options == NULL)
		return PN_OK;
	if (pn_options_check_table(module->options, module->option_size, error) != PN_OK)
		return PN_FAILED;
	for (const struct pn_option *option = module->options; option->type != PN_OPTION_TYPE_END;
	     option++) {
		size_t size = pn_option_field_size(option->type);

		if (size > module->config_size || option->field_offset > module->config_size - size)
			return pn_fail(error,
			               "option %s lies outside of the config struct: is "
			               ".config_size set?",
			               option->name);
	}
	return PN_OK;
}

/* What everybody calls without asking first. */
static enum pn_status check_parts(const struct pn_module *module, struct pn_error *error)
{
	const struct pn_protocol *protocol = module->protocol;
	const struct pn_check *check = module->check;
	const struct pn_lua_library *library = module->lua_library;

	if (protocol != NULL && (protocol->name == NULL || protocol->open == NULL))
		return pn_fail(error, "its protocol has no name or no open()");
	if (module->directory != NULL && module->directory->lookup == NULL)
		return pn_fail(error, "its directory has no lookup()");
	if (module->authentication != NULL && module->authentication->verify == NULL &&
	    module->authentication->verifier == NULL && module->authentication->token == NULL)
		return pn_fail(error,
		               "its authentication has no verify(), no verifier() and no token()");
	if (module->transport != NULL && module->transport->deliver == NULL)
		return pn_fail(error, "its transport has no deliver()");
	if (check != NULL && (check->name == NULL || check->run == NULL || check->max_rounds == 0 ||
	                      check->max_questions == 0))
		return pn_fail(error, "its check has no name, no run() or no limits");
	if (module->cache != NULL && (module->cache->get == NULL || module->cache->set == NULL ||
	                              module->cache->add == NULL))
		return pn_fail(error, "its cache has no get(), set() or add()");
	if (module->source != NULL &&
	    (module->source->name == NULL || module->source->open == NULL ||
	     module->source->next_mailbox == NULL || module->source->next_message == NULL ||
	     module->source->read == NULL || module->source->close == NULL))
		return pn_fail(error, "its source has no name, or lacks an entry");
	if (library != NULL && library->name == NULL)
		return pn_fail(error, "its lua_library has no name");
	for (const struct pn_lua_function *function = library == NULL ? NULL : library->functions;
	     function != NULL && function->name != NULL; function++) {
		if (function->call == NULL || !is_sentence(function->summary))
			return pn_fail(error, "its Lua function %s has no call or no summary",
			               function->name);
	}
	return PN_OK;
}

enum pn_status pn_module_check(const struct pn_module *module, struct pn_error *error)
{
	if (module->name == NULL || module->version == NULL)
		return pn_fail(error, "it has no name or no version");
	if (!is_sentence(module->summary))
		return pn_fail(error, "it has no summary, one sentence with a full stop");
	if (check_options(module, error) != PN_OK)
		return PN_FAILED;
	for (size_t index = 0; module->hooks != NULL && module->hooks[index].stage != PN_STAGE_NONE;
	     index++) {
		if (check_hook(&module->hooks[index], index, error) != PN_OK)
			return PN_FAILED;
	}
	return check_parts(module, error);
}
