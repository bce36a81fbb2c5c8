/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of tools: a host by its address, by /etc/hosts, or as the resolver of
 * the gateway finds it. Main thread.
 */
#include "process/tool.h"

#include <postern/dns.h>
#include <postern/link.h>
#include <postern/text.h>

#include "io/link.h"

#include <stdio.h>
#include <string.h>

enum { MOST_ADDRESSES = 20, LINE_MAX_BYTES = 4096 };

struct addresses {
	char texts[MOST_ADDRESSES][64];
	size_t count;
};

static void add(struct addresses *addresses, struct pn_slice text)
{
	if (addresses->count < MOST_ADDRESSES && text.size < sizeof(addresses->texts[0]))
		snprintf(addresses->texts[addresses->count++], sizeof(addresses->texts[0]), "%.*s",
		         PN_SLICE_ARGS(text));
}

/* "127.0.0.1  localhost loghost  # comment" */
static void look_into_hosts(const char *host, struct addresses *addresses)
{
	FILE *file = fopen("/etc/hosts", "re");
	char line[LINE_MAX_BYTES];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		char *rest = line;
		const char *address, *name;

		line[strcspn(line, "#\r\n")] = '\0';
		address = strtok_r(line, " \t", &rest);
		while (address != NULL && (name = strtok_r(NULL, " \t", &rest)) != NULL) {
			if (pn_slice_equal_ignore_case(pn_slice_of(name), pn_slice_of(host)))
				add(addresses, pn_slice_of(address));
		}
	}
	if (file != NULL)
		fclose(file);
}

static enum pn_dns_outcome ask_resolver(const char *host, enum pn_dns_type type,
                                        struct addresses *addresses)
{
	const struct pn_dns_question question = {pn_slice_of(host), type};
	enum pn_dns_outcome outcome = PN_DNS_TROUBLE;
	struct pn_tool_answer answer;

	pn_dns_ask(&question, pn_tool_ticket(&answer));
	if (pn_tool_wait(&answer) == PN_OK) {
		const struct pn_dns_answer *found = answer.result;

		outcome = found->outcome;
		for (size_t i = 0; i < found->record_count; i++)
			add(addresses, found->records[i].value);
	}
	pn_tool_release(&answer);
	return outcome;
}

static enum pn_status find(const char *host, struct addresses *addresses, struct pn_error *error)
{
	enum pn_dns_outcome with_4, with_6;

	look_into_hosts(host, addresses);
	if (addresses->count > 0)
		return PN_OK;
	with_6 = ask_resolver(host, PN_DNS_AAAA, addresses);
	with_4 = ask_resolver(host, PN_DNS_A, addresses);
	if (addresses->count > 0)
		return PN_OK;
	return pn_fail(error, "cannot find %s: %s", host,
	               with_4 == PN_DNS_TROUBLE || with_6 == PN_DNS_TROUBLE
	                       ? "the name servers do not answer"
	                       : "there is no such host, or it has no address");
}

static enum pn_status connect_to(const char *address, const char *host, uint16_t port,
                                 struct pn_link **link_out, struct pn_error *error)
{
	struct pn_socket_address parsed;
	char text[300];

	snprintf(text, sizeof(text), strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u", address,
	         (unsigned)port);
	if (pn_socket_parse(text, &parsed, error) != PN_OK)
		return PN_FAILED;
	return pn_link_connect(&parsed, host, link_out, error);
}

static bool is_address(const char *host)
{
	return strchr(host, ':') != NULL || strspn(host, "0123456789.") == strlen(host);
}

enum pn_status pn_link_open(const char *host, uint16_t port, struct pn_link **link_out,
                            struct pn_error *error)
{
	struct addresses addresses = {.count = 0};
	enum pn_status status = PN_FAILED;

	*link_out = NULL;
	if (is_address(host))
		add(&addresses, pn_slice_of(host));
	else if (find(host, &addresses, error) != PN_OK)
		return PN_FAILED;
	for (size_t i = 0; i < addresses.count && status != PN_OK; i++)
		status = connect_to(addresses.texts[i], host, port, link_out, error);
	if (addresses.count == 0)
		return pn_fail(error, "%s is no host", host);
	return status;
}
