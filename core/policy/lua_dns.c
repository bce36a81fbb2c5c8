/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.lookup("example.org", "MX"): waits, and returns a list of texts, or nil and
 * why: "no_data", "no_name", "trouble". dns.records gives whole records.
 */
#include "policy/state.h"

#include <postern/dns.h>
#include <postern/lualib.h>
#include <postern/text.h>

#include <stdlib.h>

enum {
	DEADLINE_MS = 30000, /* the resolver has its own, which is shorter */
	NAME_MAX_BYTES = 253,
	RECORDS_MAX = 256,
	STEPS_PER_QUESTION = 1000,
};

static const char *const type_words[] = {"A",   "AAAA", "CNAME", "MX",  "NS", "PTR",
                                         "SOA", "SRV",  "TLSA",  "TXT", NULL};

static int push_failure(lua_State *lua, const char *reason)
{
	lua_pushnil(lua);
	lua_pushstring(lua, reason);
	return 2;
}

/* NULL where there are records; else pushes the failure and returns how many values. */
static const struct pn_dns_answer *check_answer(lua_State *lua, const struct pn_answer *answer,
                                                int *pushed)
{
	const struct pn_dns_answer *result = answer->result;

	if (answer->kind != PN_ANSWER_DNS || answer->status != PN_OK || result == NULL) {
		*pushed = push_failure(lua, "trouble");
		return NULL;
	}
	switch (result->outcome) {
	case PN_DNS_FOUND:
		return result;
	case PN_DNS_NO_DATA:
		*pushed = push_failure(lua, "no_data");
		return NULL;
	case PN_DNS_NO_NAME:
		*pushed = push_failure(lua, "no_name");
		return NULL;
	default:
		*pushed = push_failure(lua, "trouble");
		return NULL;
	}
}

static const struct pn_dns_record *record_at(const struct pn_dns_answer *answer, size_t index)
{
	return (const void *)((const char *)answer->records + index * answer->record_size);
}

static int compare_priority(const void *left, const void *right)
{
	const struct pn_dns_record *first = *(const struct pn_dns_record *const *)left;
	const struct pn_dns_record *second = *(const struct pn_dns_record *const *)right;

	if (first->priority != second->priority)
		return first->priority < second->priority ? -1 : 1;
	return first < second ? -1 : first > second;
}

/* The records, MX and SRV by preference; the others as they came. Returns how many. */
static size_t sort_records(const struct pn_dns_answer *answer,
                           const struct pn_dns_record *records[RECORDS_MAX])
{
	size_t count = answer->record_count < RECORDS_MAX ? answer->record_count : RECORDS_MAX;

	for (size_t index = 0; index < count; index++)
		records[index] = record_at(answer, index);
	if (answer->question.type == PN_DNS_MX || answer->question.type == PN_DNS_SRV)
		qsort(records, count, sizeof(records[0]), compare_priority);
	return count;
}

static int push_values(lua_State *lua, const struct pn_answer *answer)
{
	const struct pn_dns_record *records[RECORDS_MAX];
	int pushed;
	const struct pn_dns_answer *result = check_answer(lua, answer, &pushed);

	if (result == NULL)
		return pushed;

	size_t count = sort_records(result, records);

	lua_createtable(lua, (int)count, 0);
	for (size_t index = 0; index < count; index++) {
		policy_push_slice(lua, records[index]->value);
		lua_rawseti(lua, -2, (lua_Integer)index + 1);
	}
	return 1;
}

static void set_number(lua_State *lua, const char *name, lua_Integer value)
{
	lua_pushinteger(lua, value);
	lua_setfield(lua, -2, name);
}

static int push_records(lua_State *lua, const struct pn_answer *answer)
{
	const struct pn_dns_record *records[RECORDS_MAX];
	int pushed;
	const struct pn_dns_answer *result = check_answer(lua, answer, &pushed);

	if (result == NULL)
		return pushed;

	size_t count = sort_records(result, records);

	lua_createtable(lua, (int)count, 2);
	for (size_t index = 0; index < count; index++) {
		lua_createtable(lua, 0, 4);
		policy_push_slice(lua, records[index]->value);
		lua_setfield(lua, -2, "value");
		set_number(lua, "priority", records[index]->priority);
		set_number(lua, "weight", records[index]->weight);
		set_number(lua, "port", records[index]->port);
		lua_rawseti(lua, -2, (lua_Integer)index + 1);
	}
	lua_pushboolean(lua, result->secure);
	lua_setfield(lua, -2, "secure");
	set_number(lua, "ttl", result->ttl_seconds);
	return 1;
}

static int ask(lua_State *lua, int (*push)(lua_State *lua, const struct pn_answer *answer))
{
	struct pn_dns_question question = {.name = policy_check_slice(lua, 1)};
	struct pn_slice word = policy_check_slice(lua, 2);
	struct pn_ticket ticket;

	if (pn_dns_type_of(word, &question.type) != PN_OK)
		return policy_unknown(
			lua, lua_pushfstring(lua, "dns: there is no type \"%s\"", word.data),
			word.data, type_words);
	if (question.name.size == 0 || question.name.size > NAME_MAX_BYTES + 1)
		return push_failure(lua, "no_name");
	/* Printable ASCII: other names are asked for in their A-label form. */
	for (size_t index = 0; index < question.name.size; index++) {
		unsigned char byte = (unsigned char)question.name.data[index];

		if (byte <= ' ' || byte >= 0x7f)
			return push_failure(lua, "no_name");
	}
	policy_budget_spend(lua, STEPS_PER_QUESTION);
	ticket = pn_lua_ticket(lua, DEADLINE_MS);
	pn_dns_ask(&question, ticket);
	return pn_lua_wait(lua, ticket, push);
}

static int dns_lookup(lua_State *lua)
{
	return ask(lua, push_values);
}

static int dns_records(lua_State *lua)
{
	return ask(lua, push_records);
}

void policy_push_dns(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"lookup", dns_lookup}, {"records", dns_records}, {NULL, NULL}};

	lua_createtable(lua, 0, 2);
	luaL_setfuncs(lua, functions, 0);
}
