/* SPDX-License-Identifier: Apache-2.0 */
/* The flat result of a check, written and read. */
#include "process/flat.h"

#include <postern/text.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Line breaks in a text travel as "\n", so that a line stays a line. */
static void write_text(FILE *out, const char *word, const char *text)
{
	fprintf(out, "%s ", word);
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '\\')
			fputs("\\\\", out);
		else
			fputc(*text, out);
	}
	fputc('\n', out);
}

static void write_number(FILE *out, const char *word, uint64_t number)
{
	fprintf(out, "%s %llu\n", word, (unsigned long long)number);
}

/* Listeners of one service have the same file as a rule: it is named once. */
static void write_authorities(const struct pn_config *config, size_t index, FILE *out)
{
	const char *path = config->listeners[index].client_authorities;

	if (path == NULL)
		return;
	for (size_t i = 0; i < index; i++) {
		if (config->listeners[i].client_authorities != NULL &&
		    strcmp(config->listeners[i].client_authorities, path) == 0)
			return;
	}
	write_text(out, "file", path);
}

static void write_reach(const struct pn_assembly *assembly, FILE *out)
{
	struct pn_reach reach = {.count = 0};

	pn_assembly_reach(assembly, &reach);
	for (size_t i = 0; i < reach.count; i++)
		write_text(out, reach.entries[i].may_write ? "write" : "read",
		           reach.entries[i].path);
	pn_reach_clear(&reach);
}

void pn_flat_write(const struct pn_assembly *assembly, FILE *out)
{
	const struct pn_config *config = assembly->config;
	const struct pn_gateway_settings *settings = &config->settings;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	for (size_t i = 0; i < config->listener_count; i++)
		write_text(out, "listener", config->listeners[i].address);
	for (size_t i = 0; i < config->certificate_count; i++)
		write_text(out, "key", config->certificates[i].key_path);
	write_text(out, "file", config->file);
	write_text(out, "configuration", config->file);
	write_text(out, "digest", config->digest);
	for (size_t i = 0; i < config->certificate_count; i++)
		write_text(out, "file", config->certificates[i].chain_path);
	for (size_t i = 0; i < config->listener_count; i++)
		write_authorities(config, i, out);
	for (size_t i = 0; i < config->policy_count; i++)
		write_text(out, "file", config->policies[i].path);
	for (size_t i = 0; assembly->generation->policies != NULL; i++) {
		const char *table = pn_policy_table(assembly->generation->policies, i);

		if (table == NULL)
			break;
		write_text(out, "file", table);
	}
	write_reach(assembly, out);
	write_text(out, "user", settings->user);
	write_text(out, "group", settings->group);
	write_text(out, "data_directory", settings->data_directory);
	write_text(out, "control", settings->control);
	write_text(out, "control_socket", settings->control_socket);
	write_text(out, "welcome", settings->welcome);
	write_number(out, "edge_workers",
	             settings->edge_workers > 0 ? settings->edge_workers
	                                        : (uint64_t)(processors > 0 ? processors : 1));
	write_number(out, "queue_workers",
	             assembly->generation->home == NULL ? 0 : settings->queue_workers);
	write_number(out, "watchdog", settings->watchdog);
	write_number(out, "stop_grace", settings->stop_grace);
	write_number(out, "reload_deadline", settings->reload_deadline);
	write_number(out, "tls_session_lifetime", settings->tls_session_lifetime);
	write_number(out, "confinement", settings->confinement);
	fputs("end\n", out);
	fflush(out);
}

static const char *read_text(struct pn_arena *arena, const char *text)
{
	char *copy = pn_arena_keep_text(arena, pn_slice_of(text));
	char *to = copy;

	for (const char *from = copy; *from != '\0'; from++) {
		if (*from == '\\' && from[1] != '\0') {
			from++;
			*to++ = *from == 'n' ? '\n' : *from;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return copy;
}

static void add(struct pn_flat_list *list, const char *item)
{
	if (list->count < PN_FLAT_MAX)
		list->items[list->count++] = item;
}

static void take_line(struct pn_flat *flat, const char *word, const char *value)
{
	const struct {
		const char *word;
		struct pn_flat_list *list;
	} lists[] = {{"listener", &flat->listeners},
	             {"key", &flat->keys},
	             {"file", &flat->files},
	             {"read", &flat->reads},
	             {"write", &flat->writes}};
	const struct {
		const char *word;
		const char **text;
	} texts[] = {{"configuration", &flat->file},
	             {"digest", &flat->digest},
	             {"user", &flat->user},
	             {"group", &flat->group},
	             {"data_directory", &flat->data_directory},
	             {"control", &flat->control},
	             {"control_socket", &flat->control_socket},
	             {"welcome", &flat->welcome}};
	const struct {
		const char *word;
		uint64_t *number;
	} numbers[] = {{"edge_workers", &flat->edge_workers},
	               {"queue_workers", &flat->queue_workers},
	               {"watchdog", &flat->watchdog_ms},
	               {"stop_grace", &flat->stop_grace_ms},
	               {"reload_deadline", &flat->reload_deadline_ms},
	               {"tls_session_lifetime", &flat->tls_session_lifetime_ms},
	               {"confinement", &flat->confinement}};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (strcmp(word, lists[i].word) == 0)
			add(lists[i].list, value);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(word, texts[i].word) == 0)
			*texts[i].text = value;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(word, numbers[i].word) == 0)
			*numbers[i].number = strtoull(value, NULL, 10);
	}
}

enum pn_status pn_flat_read(FILE *in, struct pn_arena *arena, struct pn_flat *flat_out)
{
	char *line = NULL;
	size_t room = 0;
	bool has_end = false;

	memset(flat_out, 0, sizeof(*flat_out));
	flat_out->arena = arena;
	flat_out->user = flat_out->group = flat_out->control = "";
	flat_out->file = flat_out->digest = "";
	flat_out->control_socket = flat_out->welcome = flat_out->data_directory = "";
	while (getline(&line, &room, in) > 0) {
		char *value = strchr(line, ' ');

		line[strcspn(line, "\n")] = '\0';
		has_end = has_end || strcmp(line, "end") == 0;
		if (value == NULL)
			continue;
		*value = '\0';
		take_line(flat_out, line, read_text(arena, value + 1));
	}
	free(line);
	return has_end ? PN_OK : PN_FAILED;
}
