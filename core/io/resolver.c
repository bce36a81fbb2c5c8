/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS through libunbound. Its thread answers through a descriptor that the loop
 * watches; with a zone file the same library serves the answers from local data,
 * so that tests run the same code.
 */
#include "io/resolver.h"

#include <postern/arena.h>
#include <postern/clock.h>
#include <postern/log.h>
#include <postern/text.h>
#include <postern/ticket.h>

#include "io/answers.h"
#include "io/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>
#include <unistd.h>

enum { MAX_RECORDS = 500, MAX_SILENT_NAMES = 256 };

enum { TYPE_DNSKEY = 48, CLASS_IN = 1, UNVALIDATED_MS = 60 * 60 * 1000 };

struct dns_query;

/* One libunbound, from the first question for it on. */
struct context {
	bool validates;
	struct ub_ctx *unbound;
	struct pn_watch *watch;
};

static struct {
	struct pn_resolver_settings settings;
	struct context validating;
	struct context plain;
	uint64_t plain_until_ms; /* monotonic: the network passes no signatures on */
	bool is_probing;         /* whether it does */
	struct pn_timer *probe_deadline;
	int probe;
	char *silent_names[MAX_SILENT_NAMES]; /* of the zone file: TIMEOUT and SERVFAIL */
	size_t silent_count;
	struct dns_query *queries; /* asked and not answered */
} resolver;

/* A question under way; the arena holds it and later its answer. */
struct dns_query {
	struct pn_arena *arena;
	struct pn_ticket ticket;
	struct pn_dns_answer answer;
	struct pn_dns_record *records;
	struct pn_timer *deadline;
	struct context *context; /* that it was asked in; NULL: none is at it */
	int under_way;           /* libunbound's number of it */
	bool awaits_probe;
	struct dns_query *previous;
	struct dns_query *next;
};

static void release_query(void *pointer)
{
	struct dns_query *query =
		(struct dns_query *)((char *)pointer - offsetof(struct dns_query, answer));
	struct pn_arena *arena = query->arena;

	pn_arena_free(&arena);
}

static void join(struct dns_query *query)
{
	query->next = resolver.queries;
	if (query->next != NULL)
		query->next->previous = query;
	resolver.queries = query;
}

static void leave(struct dns_query *query)
{
	if (query->previous != NULL)
		query->previous->next = query->next;
	else if (resolver.queries == query)
		resolver.queries = query->next;
	if (query->next != NULL)
		query->next->previous = query->previous;
	pn_timer_free(&query->deadline);
}

static void answer_query(struct dns_query *query)
{
	leave(query);
	query->answer.struct_size = sizeof(query->answer);
	query->answer.record_size = sizeof(struct pn_dns_record);
	query->answer.records = query->records;
	pn_ticket_answer(query->ticket, PN_ANSWER_DNS, PN_OK, &query->answer, release_query, NULL);
}

static void answer_trouble(struct dns_query *query, const char *reason)
{
	char room[120];

	query->answer.outcome = PN_DNS_TROUBLE;
	query->answer.record_count = 0;
	query->answer.reason = pn_arena_keep(
		query->arena,
		pn_slice_of(pn_text_printable(room, sizeof(room), pn_slice_of(reason))));
	answer_query(query);
}

/* A name in wire form (uncompressed, as libunbound gives it) into text. False: not a clean name. */
static bool read_name(struct pn_arena *arena, struct pn_slice wire, struct pn_slice *name_out)
{
	char text[256];
	size_t size = 0;
	size_t at = 0;

	while (at < wire.size && wire.data[at] != 0) {
		size_t label = (uint8_t)wire.data[at++];

		if (label > 63 || label > wire.size - at || size + label + 1 >= sizeof(text))
			return false;
		if (size > 0)
			text[size++] = '.';
		for (size_t i = 0; i < label; i++) {
			char byte = wire.data[at + i];

			if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
			      (byte >= '0' && byte <= '9') || byte == '-' || byte == '_'))
				return false;
			text[size++] = byte;
		}
		at += label;
	}
	if (at >= wire.size)
		return false;
	*name_out = pn_arena_keep(arena, pn_slice_make(text, size));
	return true;
}

static uint16_t read_number(const char *bytes)
{
	return (uint16_t)((uint8_t)bytes[0] << 8 | (uint8_t)bytes[1]);
}

static bool read_text(struct pn_arena *arena, struct pn_slice wire, struct pn_slice *text_out)
{
	char *text = pn_arena_allocate(arena, wire.size);
	size_t size = 0;
	size_t at = 0;

	while (at < wire.size) {
		size_t part = (uint8_t)wire.data[at++];

		if (part > wire.size - at)
			return false;
		memcpy(text + size, wire.data + at, part);
		size += part;
		at += part;
	}
	*text_out = pn_slice_make(text, size);
	return true;
}

static bool read_address(struct pn_arena *arena, int family, struct pn_slice wire,
                         struct pn_slice *text_out)
{
	char text[INET6_ADDRSTRLEN];

	if (wire.size != (family == AF_INET ? 4u : 16u) ||
	    inet_ntop(family, wire.data, text, sizeof(text)) == NULL)
		return false;
	*text_out = pn_arena_keep(arena, pn_slice_of(text));
	return true;
}

/* One record's data. False: malformed, or a name that nobody should use. */
static bool read_record(struct pn_arena *arena, enum pn_dns_type type, struct pn_slice wire,
                        struct pn_dns_record *record)
{
	size_t skip = type == PN_DNS_MX ? 2 : type == PN_DNS_SRV ? 6 : 0;

	switch (type) {
	case PN_DNS_A:
		return read_address(arena, AF_INET, wire, &record->value);
	case PN_DNS_AAAA:
		return read_address(arena, AF_INET6, wire, &record->value);
	case PN_DNS_TXT:
		return read_text(arena, wire, &record->value);
	case PN_DNS_TLSA:
		if (wire.size < 4)
			return false;
		record->priority = (uint8_t)wire.data[0];
		record->weight = (uint8_t)wire.data[1];
		record->port = (uint8_t)wire.data[2];
		record->value = pn_arena_keep(arena, pn_slice_make(wire.data + 3, wire.size - 3));
		return true;
	default:
		if (wire.size <= skip)
			return false;
		if (skip >= 2)
			record->priority = read_number(wire.data);
		if (skip == 6) {
			record->weight = read_number(wire.data + 2);
			record->port = read_number(wire.data + 4);
		}
		return read_name(arena, pn_slice_make(wire.data + skip, wire.size - skip),
		                 &record->value);
	}
}

static void read_records(struct dns_query *query, const struct ub_result *result)
{
	size_t count = 0;

	while (count < MAX_RECORDS && result->data[count] != NULL)
		count++;
	query->records = PN_ARENA_ARRAY(query->arena, count, struct pn_dns_record);
	for (size_t i = 0; i < count; i++) {
		struct pn_slice wire = pn_slice_make(result->data[i], (size_t)result->len[i]);

		if (read_record(query->arena, query->answer.question.type, wire,
		                &query->records[query->answer.record_count]))
			query->answer.record_count++;
		else
			query->answer.refused_count++;
	}
}

static void probe(void);

static void resolved(void *user, int status, struct ub_result *result)
{
	struct dns_query *query = user;

	query->context = NULL;
	if (status != 0 || result == NULL) {
		answer_trouble(query, status == 0 ? "no answer" : ub_strerror(status));
	} else if (result->bogus && resolver.settings.dnssec == PN_DNSSEC_AUTO) {
		query->awaits_probe = true;
		probe();
	} else if (result->bogus) {
		answer_trouble(query, "the answer is not what its signatures say");
	} else if (result->havedata) {
		read_records(query, result);
		query->answer.outcome = PN_DNS_FOUND;
		query->answer.secure = result->secure;
		query->answer.ttl_seconds = result->ttl > 0 ? (uint32_t)result->ttl : 0;
		query->answer.records = query->records;
		pn_answers_keep(&query->answer, pn_clock_monotonic_ms());
		answer_query(query);
	} else if (result->rcode == 3) {
		query->answer.outcome = PN_DNS_NO_NAME;
		answer_query(query);
	} else if (result->rcode == 0) {
		query->answer.outcome = PN_DNS_NO_DATA;
		answer_query(query);
	} else {
		answer_trouble(query, "the name servers failed");
	}
	if (result != NULL)
		ub_resolve_free(result);
}

static void deadline_passed(void *user)
{
	struct dns_query *query = user;

	/* After this libunbound does not call back about it. */
	if (query->context != NULL)
		ub_cancel(query->context->unbound, query->under_way);
	answer_trouble(query, "the name servers did not answer in time");
}

static void answers_wait(void *user, int events)
{
	struct context *context = user;

	(void)events;
	ub_process(context->unbound);
}

/* A name that does not answer: the last word of its line says so. */
static bool is_silence(const char *line)
{
	const char *end = line + strlen(line);
	const char *word;

	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	for (word = end; word > line && word[-1] != ' ' && word[-1] != '\t';)
		word--;
	return word > line && ((end - word == 7 && strncmp(word, "TIMEOUT", 7) == 0) ||
	                       (end - word == 8 && strncmp(word, "SERVFAIL", 8) == 0));
}

/* False: there is no room for more. */
static bool add_silent_name(const char *line)
{
	size_t size = strcspn(line, " \t");

	if (size > 0 && line[size - 1] == '.')
		size--;
	/* Both contexts read the file. */
	for (size_t i = 0; i < resolver.silent_count; i++) {
		if (strlen(resolver.silent_names[i]) == size &&
		    strncasecmp(resolver.silent_names[i], line, size) == 0)
			return true;
	}
	if (resolver.silent_count == MAX_SILENT_NAMES)
		return false;
	resolver.silent_names[resolver.silent_count++] = strndup(line, size);
	return true;
}

static enum pn_status read_zone(struct ub_ctx *unbound, const char *path, struct pn_error *error)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int number = 0;
	enum pn_status status = PN_OK;

	if (file == NULL)
		return pn_fail_errno(error, errno, "cannot read the zone file %s", path);
	ub_ctx_zone_add(unbound, ".", "static");
	while (status == PN_OK && getline(&line, &room, file) > 0) {
		number++;
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '\0' || line[0] == ';' || line[0] == '#')
			continue;
		if (is_silence(line) && !add_silent_name(line))
			status = pn_fail(error, "%s:%d: more than %d names that do not answer",
			                 path, number, MAX_SILENT_NAMES);
		else if (!is_silence(line) && ub_ctx_data_add(unbound, line) != 0)
			status = pn_fail(error,
			                 "%s:%d: not a record: write \"name TTL IN TYPE data\"",
			                 path, number);
	}
	free(line);
	fclose(file);
	return status;
}

enum pn_status pn_resolver_configure(const struct pn_resolver_settings *settings,
                                     struct pn_error *error)
{
	resolver.settings = *settings;
	if (settings->zone_file[0] != '\0' && access(settings->zone_file, R_OK) != 0)
		return pn_fail_errno(error, errno, "cannot read the zone file %s",
		                     settings->zone_file);
	return PN_OK;
}

void pn_resolver_set_deadline(uint64_t milliseconds)
{
	resolver.settings.deadline_ms = milliseconds;
}

/* "192.0.2.1:53", "[2001:db8::1]:53" as libunbound writes them: with "@" for a port. */
static const char *forwarder(const char *server, char *room, size_t size)
{
	const char *port = strrchr(server, ':');

	if (port == NULL || (server[0] != '[' && strchr(server, ':') != port))
		return server;
	if (server[0] == '[')
		snprintf(room, size, "%.*s@%s", (int)(port - server - 2), server + 1, port + 1);
	else
		snprintf(room, size, "%.*s@%s", (int)(port - server), server, port + 1);
	return room;
}

static enum pn_status set_up(struct ub_ctx *unbound, bool validates, struct pn_error *error)
{
	const struct pn_text_list *servers = &resolver.settings.servers;
	const char *zone_file = resolver.settings.zone_file;
	char room[100];

	ub_ctx_async(unbound, 1);
	ub_ctx_set_option(unbound, "msg-cache-size:", "4m");
	ub_ctx_set_option(unbound, "rrset-cache-size:", "8m");
	ub_ctx_set_option(unbound, "do-not-query-localhost:", "no");
	if (zone_file != NULL && zone_file[0] != '\0')
		return read_zone(unbound, zone_file, error);
	if (validates && access(resolver.settings.trust_anchor, R_OK) == 0)
		ub_ctx_add_ta_file(unbound, resolver.settings.trust_anchor);
	if (servers->count == 0)
		ub_ctx_resolvconf(unbound, NULL);
	for (size_t i = 0; i < servers->count; i++) {
		if (ub_ctx_set_fwd(unbound, forwarder(servers->items[i], room, sizeof(room))) != 0)
			return pn_fail(error, "\"%s\" is not the address of a resolver",
			               servers->items[i]);
	}
	return PN_OK;
}

static enum pn_status start(struct context *context, struct pn_error *error)
{
	struct ub_ctx *unbound = ub_ctx_create();

	if (unbound == NULL)
		return pn_fail(error, "cannot start the resolver");
	if (set_up(unbound, context->validates, error) != PN_OK ||
	    pn_watch_new(ub_fd(unbound), answers_wait, context, &context->watch, error) != PN_OK) {
		ub_ctx_delete(unbound);
		return PN_FAILED;
	}
	pn_watch_set(context->watch, PN_WATCH_READ);
	context->unbound = unbound;
	return PN_OK;
}

static void stop(struct context *context)
{
	if (context->unbound == NULL)
		return;
	pn_watch_free(&context->watch, false);
	ub_ctx_delete(context->unbound);
	context->unbound = NULL;
}

/* ---- asking ---- */

static bool is_silent(const char *name)
{
	for (size_t i = 0; i < resolver.silent_count; i++) {
		if (strcasecmp(resolver.silent_names[i], name) == 0)
			return true;
	}
	return false;
}

static void ask(struct dns_query *query)
{
	bool is_plain = resolver.settings.dnssec == PN_DNSSEC_OFF ||
	                pn_clock_monotonic_ms() < resolver.plain_until_ms;
	struct context *context = is_plain ? &resolver.plain : &resolver.validating;
	struct pn_error error;

	resolver.validating.validates = true;
	if (context->unbound == NULL && start(context, &error) != PN_OK) {
		pn_log(PN_LOG_ERROR, "dns", "%s", error.text);
		answer_trouble(query, "the resolver could not be started");
	} else if (is_silent(query->answer.question.name.data)) {
		answer_trouble(query, "the name servers do not answer");
	} else if (ub_resolve_async(context->unbound, query->answer.question.name.data,
	                            (int)query->answer.question.type, CLASS_IN, query, resolved,
	                            &query->under_way) != 0) {
		answer_trouble(query, "the resolver does not take the question");
	} else {
		query->context = context;
	}
}

/* ---- whether this network passes signatures on ---- */

static void probed(bool is_valid)
{
	struct dns_query *next;

	resolver.is_probing = false;
	pn_timer_free(&resolver.probe_deadline);
	if (!is_valid) {
		resolver.plain_until_ms = pn_clock_monotonic_ms() + UNVALIDATED_MS;
		pn_log(PN_LOG_WARNING, "dns",
		       "the resolvers of this network do not pass DNSSEC on: answers are taken "
		       "without validation; name others with `resolvers`, or set dnssec = \"off\"");
	}
	for (struct dns_query *query = resolver.queries; query != NULL; query = next) {
		next = query->next;
		if (!query->awaits_probe)
			continue;
		query->awaits_probe = false;
		if (is_valid)
			answer_trouble(query, "the answer is not what its signatures say");
		else
			ask(query);
	}
}

static void root_answered(void *user, int status, struct ub_result *result)
{
	bool is_valid = status == 0 && result != NULL && result->havedata && result->secure;

	(void)user;
	if (result != NULL)
		ub_resolve_free(result);
	probed(is_valid);
}

static void probe_deadline_passed(void *user)
{
	(void)user;
	ub_cancel(resolver.validating.unbound, resolver.probe);
	probed(false);
}

/* The key of the root is signed by itself, and the trust anchor says which it is. */
static void probe(void)
{
	if (resolver.is_probing)
		return;
	resolver.is_probing = true;
	resolver.probe_deadline = pn_timer_new(probe_deadline_passed, NULL);
	pn_timer_set(resolver.probe_deadline, resolver.settings.deadline_ms / 2 + 1);
	if (ub_resolve_async(resolver.validating.unbound, ".", TYPE_DNSKEY, CLASS_IN, NULL,
	                     root_answered, &resolver.probe) != 0)
		probed(true); /* it has trouble of its own */
}

void pn_resolver_ask(const struct pn_dns_question *question, struct pn_ticket ticket)
{
	struct pn_arena *arena = pn_arena_new();
	struct dns_query *query = PN_ARENA_NEW(arena, struct dns_query);
	struct pn_slice name = question->name;
	char *text;

	if (name.size > 0 && name.data[name.size - 1] == '.')
		name.size--;
	text = pn_arena_keep_text(arena, name);
	query->arena = arena;
	query->ticket = ticket;
	query->answer.question.name = pn_slice_of(text);
	query->answer.question.type = question->type;
	if (name.size == 0 || name.size > 253 || memchr(name.data, 0, name.size) != NULL) {
		/* What cannot be a name does not exist. */
		query->answer.outcome = PN_DNS_NO_NAME;
		answer_query(query);
		return;
	}
	if (pn_answers_find(&query->answer.question, pn_clock_monotonic_ms(), arena,
	                    &query->answer)) {
		query->records = (struct pn_dns_record *)(uintptr_t)query->answer.records;
		answer_query(query);
		return;
	}
	join(query);
	query->deadline = pn_timer_new(deadline_passed, query);
	pn_timer_set(query->deadline, resolver.settings.deadline_ms);
	ask(query);
}

void pn_resolver_stop(void)
{
	stop(&resolver.validating);
	stop(&resolver.plain);
	pn_timer_free(&resolver.probe_deadline);
	resolver.is_probing = false;
	while (resolver.queries != NULL) {
		struct dns_query *query = resolver.queries;

		leave(query);
		release_query(&query->answer);
	}
	for (size_t i = 0; i < resolver.silent_count; i++)
		free(resolver.silent_names[i]);
	resolver.silent_count = 0;
	pn_answers_forget();
}

enum pn_status pn_dns_type_of(struct pn_slice word, enum pn_dns_type *type_out)
{
	static const struct {
		const char *word;
		enum pn_dns_type type;
	} types[] = {
		{"A", PN_DNS_A},       {"NS", PN_DNS_NS},     {"CNAME", PN_DNS_CNAME},
		{"SOA", PN_DNS_SOA},   {"PTR", PN_DNS_PTR},   {"MX", PN_DNS_MX},
		{"TXT", PN_DNS_TXT},   {"AAAA", PN_DNS_AAAA}, {"SRV", PN_DNS_SRV},
		{"TLSA", PN_DNS_TLSA},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_of(types[i].word))) {
			*type_out = types[i].type;
			return PN_OK;
		}
	}
	return PN_NOT_FOUND;
}
