/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of the facts of a check. */
#include "process/checking.h"

#include <postern/text.h>

#include <string.h>

enum { JSON_MAX = 1024 * 1024, TOLD_MAX = 8 };

/* A fact that is told: the first is the result itself. */
struct told {
	const char *key;
	const char *fact;
	bool or_null; /* where there is none */
};

static const struct kind {
	const char *name;
	struct told told[TOLD_MAX];
} kinds[] = {
	{"spf",
         {{"result", "spf", false},
          {"explanation", "spf.explanation", true},
          {"identity", "spf.identity", false},
          {"domain", "spf.domain", false},
          {"reason", "spf.reason", false}}},
	{"iprev",
         {{"result", "iprev", false},
          {"name", "iprev.name", true},
          {"reason", "iprev.reason", false}}},
	{"dmarc",
         {{"result", "dmarc", false},
          {"policy", "dmarc.policy", true},
          {"domain", "dmarc.domain", true},
          {"percent", "dmarc.percent", true},
          {"is_spf_aligned", "dmarc.is_spf_aligned", false},
          {"is_dkim_aligned", "dmarc.is_dkim_aligned", false},
          {"reason", "dmarc.reason", false}}},
	{"arc",
         {{"result", "arc", false},
          {"count", "arc.count", false},
          {"domain", "arc.domain", true},
          {"reason", "arc.reason", true}}},
};

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	}
	return NULL;
}

void pn_checking_put(struct pn_buffer *out, const char *key, struct pn_slice value, bool or_null)
{
	bool is_first = out->size == 0 || out->data[out->size - 1] == '{';

	(void)!pn_buffer_print(out, "%s\"%s\": ", is_first ? "" : ", ", key);
	if (or_null && value.size == 0)
		(void)!pn_buffer_append(out, PN_SLICE("null"));
	else
		(void)!pn_json_append_string(out, value);
}

/* ---- signatures ---- */

static struct pn_slice numbered(const struct pn_check_output *output, size_t number,
                                const char *key)
{
	char name[64];

	snprintf(name, sizeof(name), "dkim.%zu%s%s", number, key[0] == '\0' ? "" : ".", key);
	return pn_checking_fact(output, name);
}

static size_t count_signatures(const struct pn_check_output *output)
{
	uint64_t count = 0;

	if (pn_parse_count(pn_checking_fact(output, "dkim.count"), &count) != PN_OK)
		count = 0;
	return (size_t)count;
}

/* A word a signature; what is wrong with it goes to standard error. */
static void print_signatures(const struct pn_check_output *output)
{
	size_t count = count_signatures(output);
	char room[512];

	if (count == 0)
		puts("none");
	for (size_t i = 1; i <= count; i++) {
		printf("%.*s\n", PN_SLICE_ARGS(numbered(output, i, "")));
		fprintf(stderr, "%zu: %s\n", i,
		        pn_text_printable(room, sizeof(room), numbered(output, i, "reason")));
	}
}

static void put_signatures(struct pn_buffer *out, const struct pn_check_output *output)
{
	static const char *const keys[] = {"domain", "selector", "identity", "reason"};
	size_t count = count_signatures(output);

	pn_checking_put(out, "result", pn_checking_fact(output, "dkim"), false);
	(void)!pn_buffer_append(out, PN_SLICE(", \"signatures\": ["));
	for (size_t i = 1; i <= count; i++) {
		(void)!pn_buffer_append(out, i == 1 ? PN_SLICE("{") : PN_SLICE(", {"));
		pn_checking_put(out, "result", numbered(output, i, ""), false);
		for (size_t key = 0; key < sizeof(keys) / sizeof(keys[0]); key++)
			pn_checking_put(out, keys[key], numbered(output, i, keys[key]), false);
		(void)!pn_buffer_append(out, PN_SLICE("}"));
	}
	(void)!pn_buffer_append(out, PN_SLICE("]"));
	pn_checking_put(out, "authentication_results", output->authentication_result, false);
}

/* ---- all of them ---- */

void pn_checking_put_members(struct pn_buffer *out, const char *name,
                             const struct pn_check_output *output)
{
	const struct kind *kind = find_kind(name);

	if (kind == NULL)
		put_signatures(out, output);
	for (size_t i = 0; kind != NULL && i < TOLD_MAX && kind->told[i].key != NULL; i++)
		pn_checking_put(out, kind->told[i].key,
		                pn_checking_fact(output, kind->told[i].fact),
		                kind->told[i].or_null);
}

static void print_line(const char *name, struct pn_slice value)
{
	char room[512];

	if (value.size > 0)
		printf("%s: %s\n", name, pn_text_printable(room, sizeof(room), value));
}

static void print_facts(const struct kind *kind, const struct pn_check_output *output)
{
	printf("%.*s\n", PN_SLICE_ARGS(pn_checking_fact(output, kind->told[0].fact)));
	for (size_t i = 1; i < TOLD_MAX && kind->told[i].key != NULL; i++)
		print_line(kind->told[i].key, pn_checking_fact(output, kind->told[i].fact));
}

/* One word and nothing else, as programs may read it. */
static void print_chain(const struct pn_check_output *output)
{
	char room[512];

	printf("%.*s\n", PN_SLICE_ARGS(pn_checking_fact(output, "arc")));
	fprintf(stderr, "%s\n",
	        pn_text_printable(room, sizeof(room), pn_checking_fact(output, "arc.reason")));
}

void pn_checking_print(const struct pn_arguments *arguments, const char *name,
                       const struct pn_check_output *output)
{
	struct pn_buffer out;

	if (!arguments->json) {
		if (find_kind(name) == NULL)
			print_signatures(output);
		else if (strcmp(name, "arc") == 0)
			print_chain(output);
		else
			print_facts(find_kind(name), output);
		return;
	}
	pn_buffer_init(&out, JSON_MAX);
	pn_checking_put_members(&out, name, output);
	printf("{%.*s}\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
}
