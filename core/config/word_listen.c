/* SPDX-License-Identifier: Apache-2.0 */
/* The words listen { … } and certificate { … }. */
#include "config/reading.h"

static const char *const tls_words[] = {"starttls", "implicit", "never", NULL};
static const char *const client_words[] = {"never", "requested", "required", NULL};

/* ---- listen ---- */

static void add_listener(struct pn_config_reading *reading,
                         const struct pn_config_listener *listener)
{
	struct pn_config *config = reading->config;
	const char *problem = pn_config_address_problem(listener->address);

	if (problem != NULL)
		pn_config_raise(reading, listener->line, "\"%s\" is no address to listen on: %s",
		                listener->address, problem);
	for (size_t index = 0; index < config->listener_count; index++) {
		if (strcmp(reading->listeners[index].address, listener->address) == 0)
			pn_config_raise(reading, listener->line,
			                "\"%s\" is listened on already, at line %d",
			                listener->address, reading->listeners[index].line);
	}
	if (config->listener_count == PN_CONFIG_LISTENERS_MAX)
		pn_config_raise(reading, listener->line, "there are more than %d listeners",
		                PN_CONFIG_LISTENERS_MAX);
	reading->listeners = pn_config_grow(reading->arena, reading->listeners,
	                                    config->listener_count, sizeof(*listener));
	reading->listeners[config->listener_count++] = *listener;
}

/* The place of the word that the key has among three, of which the first is the default. */
static int word_of(struct pn_config_reading *reading, const struct pn_setting *rows, size_t count,
                   const char *key, const char *const *words)
{
	const char *word = pn_config_row_text(reading, rows, count, key);

	if (word == NULL)
		return 0;
	for (int index = 0; words[index] != NULL; index++) {
		if (strcmp(words[index], word) == 0)
			return index;
	}
	pn_config_raise(reading, pn_config_row(rows, count, key)->line,
	                "%s must be \"%s\", \"%s\" or \"%s\", not \"%s\"%s", key, words[0],
	                words[1], words[2], word, pn_config_hint(reading, word, words));
}

static void read_clients(struct pn_config_reading *reading, const struct pn_setting *rows,
                         size_t count, struct pn_config_listener *listener)
{
	const char *path = pn_config_row_text(reading, rows, count, "client_authorities");
	const struct pn_setting *row = pn_config_row(rows, count, "client_certificates");

	listener->client_certificates = (enum pn_tls_client_certificates)word_of(
		reading, rows, count, "client_certificates", client_words);
	if (listener->client_certificates != PN_TLS_CLIENT_NEVER &&
	    listener->tls == PN_LISTEN_PLAIN)
		pn_config_raise(reading, row->line,
		                "client_certificates needs TLS, and this listener has tls = "
		                "\"never\"");
	if (listener->client_certificates == PN_TLS_CLIENT_REQUIRED && path == NULL)
		pn_config_raise(reading, row->line,
		                "client_certificates = \"required\" needs client_authorities = "
		                "\"FILE\": the certificates of those who vouch for clients");
	if (path == NULL)
		return;
	if (listener->client_certificates == PN_TLS_CLIENT_NEVER)
		pn_config_raise(reading, pn_config_row(rows, count, "client_authorities")->line,
		                "client_authorities is for nothing without client_certificates = "
		                "\"requested\" or \"required\"");
	listener->client_authorities = pn_config_path(reading, path);
}

static void read_proxies(struct pn_config_reading *reading, const struct pn_setting *row,
                         struct pn_config_listener *listener)
{
	struct pn_network *networks;
	struct pn_error error;
	size_t count = 0;

	if (row == NULL)
		return;
	if (row->kind != PN_SETTING_LIST)
		pn_config_raise(reading, row->line,
		                "proxies must be a list: proxies = { \"192.0.2.0/24\" }");
	while (row->items[count] != NULL)
		count++;
	networks = PN_ARENA_ARRAY(reading->arena, count, struct pn_network);
	for (size_t index = 0; index < count; index++) {
		if (pn_network_parse(row->items[index], &networks[index], &error) != PN_OK)
			pn_config_raise(reading, row->line, "proxies: %s", error.text);
	}
	listener->proxies = networks;
	listener->proxy_count = count;
}

int pn_config_word_listen(lua_State *lua)
{
	static const char *const known[] = {
		"to", "tls", "proxies", "client_certificates", "client_authorities", NULL};
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	int line = pn_config_line(lua);
	struct pn_config_call_lines lines = pn_config_lines_find(reading, "listen", NULL, line);
	struct pn_config_listener listener = {.line = line};
	size_t count, addresses;

	pn_config_need_table(reading, line, "listen { \"0.0.0.0:25\", to = \"instance\" }");

	struct pn_setting *rows = pn_config_rows(reading, 1, "listen", &lines, &count, &addresses);

	pn_config_refuse_unknown(reading, rows, count, "listen", known);
	listener.to = pn_config_row_text(reading, rows, count, "to");
	listener.tls = (enum pn_listen_tls)word_of(reading, rows, count, "tls", tls_words);
	read_clients(reading, rows, count, &listener);
	read_proxies(reading, pn_config_row(rows, count, "proxies"), &listener);
	if (addresses == 0)
		pn_config_raise(reading, line, "listen names no address");
	if (listener.to == NULL)
		pn_config_raise(reading, line, "listen does not say where to: to = \"instance\"");
	for (size_t position = 0; position < addresses; position++) {
		listener.line = pn_config_lines_value(&lines, position);
		listener.address =
			pn_config_list_text(reading, position + 1, "an address", listener.line);
		add_listener(reading, &listener);
	}
	return 0;
}

/* ---- certificate ---- */

int pn_config_word_certificate(lua_State *lua)
{
	static const char *const known[] = {"key", NULL};
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	struct pn_config *config = reading->config;
	int line = pn_config_line(lua);
	struct pn_config_call_lines lines =
		pn_config_lines_find(reading, "certificate", NULL, line);
	struct pn_config_certificate certificate = {.line = line};
	size_t count, values;

	pn_config_need_table(reading, line, "certificate { \"chain.pem\", key = \"key.pem\" }");

	struct pn_setting *rows =
		pn_config_rows(reading, 1, "certificate", &lines, &count, &values);

	pn_config_refuse_unknown(reading, rows, count, "certificate", known);
	if (values != 1)
		pn_config_raise(reading, line, "certificate names one file, and key = another");
	certificate.chain_path =
		pn_config_path(reading, pn_config_list_text(reading, 1, "the certificate", line));
	certificate.key_path = pn_config_row_text(reading, rows, count, "key");
	if (certificate.key_path == NULL)
		pn_config_raise(reading, line, "certificate does not name its key: key = \"file\"");
	certificate.key_path = pn_config_path(reading, certificate.key_path);
	for (size_t index = 0; index < config->certificate_count; index++) {
		if (strcmp(reading->certificates[index].chain_path, certificate.chain_path) == 0)
			pn_config_raise(reading, line, "\"%s\" is named already, at line %d",
			                certificate.chain_path, reading->certificates[index].line);
	}
	if (config->certificate_count == PN_CONFIG_CERTIFICATES_MAX)
		pn_config_raise(reading, line, "there are more than %d certificates",
		                PN_CONFIG_CERTIFICATES_MAX);
	reading->certificates = pn_config_grow(reading->arena, reading->certificates,
	                                       config->certificate_count, sizeof(certificate));
	reading->certificates[config->certificate_count++] = certificate;
	return 0;
}
