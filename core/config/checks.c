/* SPDX-License-Identifier: Apache-2.0 */
/* What can be judged only when the whole configuration file was read. */
#include "config/reading.h"

#include <postern/address.h>
#include <postern/network.h>
#include <postern/text.h>

#include "delivery/route.h"
#include "session/generation.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

static const char *const *instance_names(struct pn_config_reading *reading)
{
	size_t count = reading->config->module_count;
	const char **names = PN_ARENA_ARRAY(reading->arena, count + 1, const char *);

	for (size_t index = 0; index < count; index++)
		names[index] = reading->modules[index].as;
	return names;
}

static bool is_among(const char *text, const char *const *names)
{
	while (*names != NULL) {
		if (strcmp(*names++, text) == 0)
			return true;
	}
	return false;
}

static enum pn_status check_modules(struct pn_config_reading *reading)
{
	for (size_t index = 0; index < reading->config->module_count; index++) {
		const struct pn_config_module *module = &reading->modules[index];

		for (size_t other = 0; other < index; other++) {
			if (strcmp(reading->modules[other].as, module->as) == 0)
				return pn_config_fail(reading, module->settings.line,
				                      "the instance \"%s\" is there already, at "
				                      "line %d: give one of "
				                      "them another name with as = \"…\"",
				                      module->as,
				                      reading->modules[other].settings.line);
		}
	}
	return PN_OK;
}

static enum pn_status check_uses(struct pn_config_reading *reading)
{
	const char *const *names = instance_names(reading);

	for (size_t index = 0; index < reading->config->listener_count; index++) {
		const struct pn_config_listener *listener = &reading->listeners[index];

		if (!is_among(listener->to, names))
			return pn_config_fail(
				reading, listener->line,
				"listen … to = \"%s\": no module is mentioned as that%s",
				listener->to, pn_config_hint(reading, listener->to, names));
	}
	for (size_t index = 0; index < reading->config->domain_count; index++) {
		const struct pn_config_domain *domain = &reading->domains[index];
		const char *uses[] = {domain->store, domain->directory};

		for (size_t use = 0; use < 2; use++) {
			if (uses[use] != NULL && !is_among(uses[use], names))
				return pn_config_fail(
					reading, domain->line,
					"domain \"%s\": no module is mentioned as \"%s\"%s",
					domain->name, uses[use],
					pn_config_hint(reading, uses[use], names));
		}
	}
	return PN_OK;
}

/* A certificate that no listener can use. */
static enum pn_status check_certificates(struct pn_config_reading *reading)
{
	const struct pn_config *config = reading->config;

	if (config->certificate_count == 0)
		return PN_OK;
	for (size_t index = 0; index < config->listener_count; index++) {
		if (reading->listeners[index].tls != PN_LISTEN_PLAIN)
			return PN_OK;
	}
	return pn_config_fail(reading, reading->certificates[0].line,
	                      "a certificate is named, and no listener uses TLS");
}

static enum pn_status check_implicit_tls(struct pn_config_reading *reading)
{
	for (size_t index = 0; index < reading->config->listener_count; index++) {
		const struct pn_config_listener *listener = &reading->listeners[index];

		if (listener->tls == PN_LISTEN_IMPLICIT && reading->config->certificate_count == 0)
			return pn_config_fail(reading, listener->line,
			                      "\"%s\" has tls = \"implicit\", and there is no "
			                      "certificate { … }",
			                      listener->address);
	}
	return PN_OK;
}

/* One limit of a policy: the row's value, or the gateway's default. */
static enum pn_status policy_limit(struct pn_config_reading *reading, const struct pn_setting *row,
                                   uint64_t otherwise, uint64_t minimum, uint64_t maximum,
                                   const char *range, uint64_t *value_out)
{
	enum pn_status status = PN_FAILED;
	bool is_duration = row != NULL && strcmp(row->name, "cpu") == 0;

	*value_out = otherwise;
	if (row == NULL)
		return PN_OK;
	if (is_duration && row->kind == PN_SETTING_TEXT)
		status = pn_parse_duration(pn_slice_of(row->text), value_out);
	else if (!is_duration && (row->kind == PN_SETTING_TEXT || row->kind == PN_SETTING_NUMBER))
		status = pn_parse_size(pn_slice_of(row->text), value_out);
	if (status != PN_OK || *value_out < minimum || *value_out > maximum)
		return pn_config_fail(reading, row->line, "%s of a policy must be %s", row->name,
		                      range);
	return PN_OK;
}

static enum pn_status fill_policies(struct pn_config_reading *reading)
{
	const struct pn_gateway_settings *settings = &reading->config->settings;
	const uint64_t mebibyte = 1024 * 1024;

	for (size_t index = 0; index < reading->config->policy_count; index++) {
		struct pn_policy_file *policy = &reading->policies[index];
		const struct pn_config_policy_texts *texts = &reading->policy_texts[index];

		policy->wall_ms = settings->hook_wall_budget;
		if (policy_limit(reading, texts->cpu, settings->policy_cpu, 1, 10000,
		                 "a duration from \"1ms\" to \"10s\"", &policy->cpu_ms) != PN_OK ||
		    policy_limit(reading, texts->memory, settings->policy_memory, mebibyte,
		                 1024 * mebibyte, "a size from \"1M\" to \"1G\"",
		                 &policy->memory_bytes) != PN_OK)
			return PN_FAILED;
	}
	return PN_OK;
}

/* ---- the queue ---- */

static int setting_line(const struct pn_config_reading *reading, const char *name)
{
	for (size_t index = 0; index < reading->setting_count; index++) {
		if (strcmp(reading->settings[index].name, name) == 0)
			return reading->settings[index].line;
	}
	return 1;
}

static enum pn_status check_hostname(struct pn_config_reading *reading)
{
	struct pn_gateway_settings *settings = &reading->config->settings;
	char name[256];

	if (settings->hostname[0] == '\0') {
		if (gethostname(name, sizeof(name)) != 0)
			return pn_config_fail(reading, 1, "the machine has no name: set hostname");
		name[sizeof(name) - 1] = '\0';
		settings->hostname = pn_arena_keep_text(reading->arena, pn_slice_of(name));
	}
	if (!pn_domain_is_valid(pn_slice_of(settings->hostname), false))
		return pn_config_fail(reading, setting_line(reading, "hostname"),
		                      "hostname \"%s\" is no domain name", settings->hostname);
	return PN_OK;
}

static enum pn_status check_relay(struct pn_config_reading *reading)
{
	struct pn_slice relay = pn_slice_of(reading->config->settings.relay);
	struct pn_slice name;
	uint16_t port;
	bool is_address;

	if (relay.size > 0 && pn_route_host(relay, 1, &name, &port, &is_address) != PN_OK)
		return pn_config_fail(reading, setting_line(reading, "relay"),
		                      "relay = \"%s\" is no host: write \"mail.example.net:25\", "
		                      "\"192.0.2.1:25\" or \"[2001:db8::1]:25\"",
		                      reading->config->settings.relay);
	return PN_OK;
}

/* How long is waited after each failure. */
static enum pn_status check_retries(struct pn_config_reading *reading)
{
	static const char *const usual[] = {"1m", "5m", "15m", "30m", "1h", "2h", "4h"};
	const struct pn_text_list *list = &reading->config->settings.retry_schedule;
	const char *const *words = list->count > 0 ? list->items : usual;
	size_t count = list->count > 0 ? list->count : sizeof(usual) / sizeof(usual[0]);
	int line = setting_line(reading, "retry_schedule");
	uint64_t *waits = PN_ARENA_ARRAY(reading->arena, count, uint64_t);

	if (count > PN_RETRY_STEPS_MAX)
		return pn_config_fail(reading, line, "retry_schedule has more than %d steps",
		                      PN_RETRY_STEPS_MAX);
	for (size_t index = 0; index < count; index++) {
		if (pn_parse_duration(pn_slice_of(words[index]), &waits[index]) != PN_OK ||
		    waits[index] < 100 || waits[index] > UINT64_C(30) * 24 * 3600 * 1000)
			return pn_config_fail(reading, line,
			                      "retry_schedule: \"%s\" is no duration from "
			                      "\"100ms\" to \"30d\"",
			                      words[index]);
	}
	reading->config->retries_ms = waits;
	reading->config->retry_count = count;
	return PN_OK;
}

/* What a destination does not say is as for all others. */
static void fill_destination(const struct pn_gateway_settings *settings,
                             struct pn_config_destination *destination)
{
	const struct {
		const char *name;
		uint32_t *value;
		uint32_t usual;
	} limits[] = {
		{"connections", &destination->values.connections,
	         settings->destination_connections},
		{"messages_per_connection", &destination->values.messages_per_connection,
	         settings->destination_messages_per_connection},
		{"messages_per_minute", &destination->values.messages_per_minute,
	         settings->destination_messages_per_minute},
	};

	for (size_t index = 0; index < sizeof(limits) / sizeof(limits[0]); index++) {
		if (pn_config_row(destination->settings.rows, destination->settings.count,
		                  limits[index].name) == NULL)
			*limits[index].value = limits[index].usual;
	}
}

static enum pn_status check_destinations(struct pn_config_reading *reading)
{
	for (size_t index = 0; index < reading->config->destination_count; index++) {
		struct pn_config_destination *destination = &reading->destinations[index];

		if (pn_options_apply(pn_destination_options, sizeof(struct pn_option),
		                     &destination->settings, reading->arena, &destination->values,
		                     reading->error) != PN_OK)
			return PN_FAILED;
		fill_destination(&reading->config->settings, destination);
	}
	return PN_OK;
}

static enum pn_status check_addresses(struct pn_config_reading *reading)
{
	const struct pn_gateway_settings *settings = &reading->config->settings;
	unsigned char address[sizeof(struct in6_addr)];
	const char *problem = NULL;

	if (settings->control[0] != '\0')
		problem = pn_config_address_problem(settings->control);
	if (problem != NULL)
		return pn_config_fail(reading, setting_line(reading, "control"),
		                      "control \"%s\" is no address to listen on: %s",
		                      settings->control, problem);
	for (size_t index = 0; index < settings->resolvers.count; index++) {
		const char *text = settings->resolvers.items[index];

		if (inet_pton(AF_INET, text, address) != 1 &&
		    inet_pton(AF_INET6, text, address) != 1 &&
		    (strncmp(text, "unix:", 5) == 0 || pn_config_address_problem(text) != NULL))
			return pn_config_fail(
				reading, setting_line(reading, "resolvers"),
				"resolver \"%s\" is no IP address, alone or with a port", text);
	}
	return PN_OK;
}

static enum pn_status check_networks(struct pn_config_reading *reading)
{
	struct pn_error error;

	if (pn_networks_check(&reading->config->settings.networks_without_rates, &error) == PN_OK)
		return PN_OK;
	return pn_config_fail(reading, setting_line(reading, "networks_without_rates"),
	                      "networks_without_rates: %s", error.text);
}

enum pn_status pn_config_check(struct pn_config_reading *reading)
{
	struct pn_gateway_settings *settings = &reading->config->settings;

	if (settings->zone_file == NULL)
		settings->zone_file = "";
	if (settings->log_file == NULL)
		settings->log_file = "";
	if (settings->control_socket == NULL)
		settings->control_socket =
			pn_arena_print(reading->arena, "%s/control.sock", settings->data_directory);
	if (check_hostname(reading) != PN_OK || check_addresses(reading) != PN_OK ||
	    check_modules(reading) != PN_OK || check_uses(reading) != PN_OK ||
	    check_certificates(reading) != PN_OK || check_implicit_tls(reading) != PN_OK ||
	    check_relay(reading) != PN_OK || check_retries(reading) != PN_OK ||
	    check_destinations(reading) != PN_OK || check_networks(reading) != PN_OK)
		return PN_FAILED;
	return fill_policies(reading);
}
