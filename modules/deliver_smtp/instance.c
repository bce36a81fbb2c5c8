/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an instance keeps beside its connections: the passwords, the addresses whose
 * TLS is broken, and which source address is next.
 */
#include "deliver.h"

#include <postern/clock.h>
#include <postern/text.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLEAR_MS = 60 * 60 * 1000 };

/* Whether a path was given. */
static bool is_given(const char *path)
{
	return path != NULL && path[0] != '\0';
}

static bool is_address(const char *text, int family)
{
	unsigned char room[16];

	return inet_pton(family, text, room) == 1;
}

enum pn_status deliver_check_config(const void *config, struct pn_error *error)
{
	const struct deliver_config *options = config;
	struct deliver_credentials *credentials = NULL;

	for (size_t i = 0; i < options->source_addresses.count; i++) {
		const char *address = options->source_addresses.items[i];

		if (!is_address(address, AF_INET) && !is_address(address, AF_INET6))
			return pn_fail(error, "source_addresses: \"%s\" is no IP address", address);
	}
	if (options->hello[0] != '\0' && options->hello[0] != '[' &&
	    !pn_domain_is_valid(pn_slice_of(options->hello), false))
		return pn_fail(error, "hello: \"%s\" is no name of a host", options->hello);
	if (is_given(options->trusted_certificates) &&
	    access(options->trusted_certificates, R_OK) != 0)
		return pn_fail(error, "trusted_certificates: cannot read %s",
		               options->trusted_certificates);
	if (!is_given(options->credentials))
		return PN_OK;
	if (deliver_credentials_read(options->credentials, &credentials, error) != PN_OK)
		return PN_FAILED;
	deliver_credentials_free(&credentials);
	return PN_OK;
}

enum pn_status deliver_prepare(void *instance, const void *new_config, struct pn_error *error)
{
	struct deliver_instance *deliver = instance;
	const struct deliver_config *config = new_config;

	if (!deliver->sends || !is_given(config->credentials))
		return PN_OK;
	return deliver_credentials_read(config->credentials, &deliver->prepared, error);
}

void deliver_adopt(void *instance, const void *new_config)
{
	struct deliver_instance *deliver = instance;

	(void)new_config;
	deliver_credentials_free(&deliver->credentials);
	deliver->credentials = deliver->prepared;
	deliver->prepared = NULL;
}

void deliver_abandon(void *instance, const void *new_config)
{
	struct deliver_instance *deliver = instance;

	(void)new_config;
	deliver_credentials_free(&deliver->prepared);
}

enum pn_status deliver_start(const struct pn_start *start, void **instance_out,
                             struct pn_error *error)
{
	struct deliver_instance *deliver = calloc(1, sizeof(*deliver));

	if (deliver == NULL)
		abort();
	deliver->sends = start->worker_kind == PN_WORKER_QUEUE;
	if (deliver_prepare(deliver, start->config, error) != PN_OK) {
		free(deliver);
		return PN_FAILED;
	}
	deliver_adopt(deliver, start->config);
	*instance_out = deliver;
	return PN_OK;
}

void deliver_stop(void *instance)
{
	struct deliver_instance *deliver = instance;

	deliver_credentials_free(&deliver->credentials);
	deliver_credentials_free(&deliver->prepared);
	free(deliver);
}

void deliver_remember_clear(struct deliver_instance *instance, const char *address)
{
	uint32_t at = instance->next_clear++ % DELIVER_CLEAR_MAX;

	snprintf(instance->clear[at].address, sizeof(instance->clear[at].address), "%s", address);
	instance->clear[at].until_ms = pn_clock_monotonic_ms() + CLEAR_MS;
}

bool deliver_goes_clear(const struct deliver_instance *instance, const char *address)
{
	uint64_t now = pn_clock_monotonic_ms();

	for (size_t i = 0; i < DELIVER_CLEAR_MAX && i < instance->next_clear; i++) {
		if (instance->clear[i].until_ms > now &&
		    strcmp(instance->clear[i].address, address) == 0)
			return true;
	}
	return false;
}

const char *deliver_source_address(struct deliver_instance *instance,
                                   const struct deliver_config *config, const char *address)
{
	int family = address[0] == '[' ? AF_INET6 : AF_INET;
	size_t count = config->source_addresses.count;

	if (strncmp(address, "unix:", 5) == 0)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		const char *source =
			config->source_addresses.items[instance->next_source++ % count];

		if (is_address(source, family))
			return source;
	}
	return NULL;
}
