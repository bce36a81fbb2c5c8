/* SPDX-License-Identifier: Apache-2.0 */
/* string.format: %d %i %c %o %x %X %a %A %e %E %f %g %G %s %%, with flags, width, precision. */
#include "policy/builder.h"
#include "policy/lua_string.h"

#include <stdio.h>

enum {
	SPECIFIER_MAX = 12,    /* "%-+ #099.99d" */
	NUMBER_TEXT_MAX = 512, /* "%99.99f" of the largest number has 308 + 1 + 99 digits */
};

struct specifier {
	char text[SPECIFIER_MAX + 4]; /* for snprintf, with length modifier and conversion */
	size_t size;
	char conversion;
};

static size_t take_digits(struct pn_slice format, size_t at, size_t most)
{
	size_t count = 0;

	while (count < most && at + count < format.size && format.data[at + count] >= '0' &&
	       format.data[at + count] <= '9')
		count++;
	return count;
}

/* Reads a specifier, `at` behind its '%'. Returns the place behind it. */
static size_t read_specifier(lua_State *lua, struct pn_slice format, size_t at,
                             struct specifier *specifier)
{
	size_t start = at;

	while (at < format.size && format.data[at] != '\0' &&
	       strchr("-+ #0", format.data[at]) != NULL)
		at++;
	at += take_digits(format, at, 2);
	if (at < format.size && format.data[at] == '.') {
		at++;
		at += take_digits(format, at, 2);
	}
	if (at == format.size || at - start > SPECIFIER_MAX - 2)
		luaL_error(lua, "invalid format (the specification is incomplete or too long)");
	specifier->conversion = format.data[at];
	specifier->text[0] = '%';
	memcpy(specifier->text + 1, format.data + start, at - start);
	specifier->size = 1 + (at - start);
	return at + 1;
}

static void finish_specifier(struct specifier *specifier, const char *ending)
{
	memcpy(specifier->text + specifier->size, ending, strlen(ending) + 1);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void add_integer(struct policy_builder *builder, struct specifier *specifier, int argument)
{
	long long value = luaL_checkinteger(builder->lua, argument);
	char ending[4] = {'l', 'l', specifier->conversion, '\0'};
	char room[NUMBER_TEXT_MAX];
	int size;

	finish_specifier(specifier, ending);
	size = snprintf(room, sizeof(room), specifier->text, value);
	policy_builder_add(builder, pn_slice_make(room, (size_t)size));
}

static void add_float(struct policy_builder *builder, struct specifier *specifier, int argument)
{
	double value = luaL_checknumber(builder->lua, argument);
	char ending[2] = {specifier->conversion, '\0'};
	char room[NUMBER_TEXT_MAX];
	int size;

	finish_specifier(specifier, ending);
	size = snprintf(room, sizeof(room), specifier->text, value);
	policy_builder_add(builder, pn_slice_make(room, (size_t)size));
}

#pragma GCC diagnostic pop

static void add_spaces(struct policy_builder *builder, size_t count)
{
	while (count-- > 0)
		policy_builder_add_byte(builder, ' ');
}

/* Width, precision and '-' by hand: the text may be long, and may have zeros in it. */
static void add_string(struct policy_builder *builder, const struct specifier *specifier,
                       int argument)
{
	lua_State *lua = builder->lua;
	size_t width = 0, precision = SIZE_MAX;
	bool is_left = false;
	struct pn_slice text;

	for (size_t at = 1; at < specifier->size; at++) {
		char byte = specifier->text[at];

		if (byte == '.')
			precision = 0;
		else if (byte >= '0' && byte <= '9' && precision != SIZE_MAX)
			precision = precision * 10 + (size_t)(byte - '0');
		else if (byte >= '0' && byte <= '9')
			width = width * 10 + (size_t)(byte - '0');
		else if (byte == '-')
			is_left = true;
	}
	luaL_checkany(lua, argument);
	lua_pushcfunction(lua, policy_tostring);
	lua_pushvalue(lua, argument);
	lua_call(lua, 1, 1);
	text = policy_check_slice(lua, -1);
	if (text.size > precision)
		text.size = precision;
	if (!is_left && width > text.size)
		add_spaces(builder, width - text.size);
	policy_builder_add(builder, text);
	if (is_left && width > text.size)
		add_spaces(builder, width - text.size);
	lua_pop(lua, 1);
}

static void add_byte(struct policy_builder *builder, int argument)
{
	policy_builder_add_byte(builder, (char)luaL_checkinteger(builder->lua, argument));
}

int policy_string_format(lua_State *lua)
{
	struct pn_slice format = policy_check_slice(lua, 1);
	int last = lua_gettop(lua), argument = 1;
	struct policy_builder builder;

	policy_builder_init(&builder, lua);
	for (size_t at = 0; at < format.size;) {
		struct specifier specifier;
		char byte = format.data[at++];

		if (byte != '%') {
			policy_builder_add_byte(&builder, byte);
			continue;
		}
		if (at < format.size && format.data[at] == '%') {
			policy_builder_add_byte(&builder, '%');
			at++;
			continue;
		}
		at = read_specifier(lua, format, at, &specifier);
		if (++argument > last)
			return luaL_argerror(lua, argument, "no value");
		if (specifier.conversion == 's')
			add_string(&builder, &specifier, argument);
		else if (specifier.conversion == 'c')
			add_byte(&builder, argument);
		else if (specifier.conversion != '\0' && strchr("dioxX", specifier.conversion))
			add_integer(&builder, &specifier, argument);
		else if (specifier.conversion != '\0' && strchr("aAeEfgG", specifier.conversion))
			add_float(&builder, &specifier, argument);
		else
			return luaL_error(lua, "invalid conversion '%%%c' to 'format'",
			                  specifier.conversion);
	}
	policy_budget_spend(lua, format.size / 4);
	policy_builder_push(&builder);
	return 1;
}
