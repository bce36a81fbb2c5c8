/* SPDX-License-Identifier: Apache-2.0 */
/* Routes as text: see route.h. Pure. */
#include "delivery/route.h"

#include <postern/address.h>
#include <postern/buffer.h>
#include <postern/text.h>

#include <arpa/inet.h>

enum { HOST_MAX = 255 };

static const char *const tls_names[] = {"default", "never", "opportunistic", "required",
                                        "verified"};

enum { TLS_LEVELS = sizeof(tls_names) / sizeof(tls_names[0]) };

const char *pn_route_tls_name(enum pn_route_tls tls)
{
	return (unsigned)tls < TLS_LEVELS ? tls_names[tls] : tls_names[0];
}

enum pn_status pn_route_tls_of(struct pn_slice word, enum pn_route_tls *tls_out)
{
	for (unsigned i = 0; i < TLS_LEVELS; i++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_of(tls_names[i]))) {
			*tls_out = (enum pn_route_tls)i;
			return PN_OK;
		}
	}
	return PN_NOT_FOUND;
}

/* ---- hosts ---- */

static bool is_address(struct pn_slice text)
{
	char room[INET6_ADDRSTRLEN + 1];
	unsigned char bytes[16];

	if (text.size == 0 || text.size >= sizeof(room))
		return false;
	memcpy(room, text.data, text.size);
	room[text.size] = '\0';
	return inet_pton(AF_INET, room, bytes) == 1 || inet_pton(AF_INET6, room, bytes) == 1;
}

static enum pn_status read_port(struct pn_slice text, uint16_t *port_out)
{
	uint64_t number;

	if (pn_parse_count(text, &number) != PN_OK || number == 0 || number > UINT16_MAX)
		return PN_FAILED;
	*port_out = (uint16_t)number;
	return PN_OK;
}

/* Only what can be part of a path of ours, and none of what separates the parts of a route. */
static bool is_path(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];

		if (byte <= ' ' || byte >= 0x7f || byte == ',' || byte == ';' || byte == '@')
			return false;
	}
	return text.size > 0 && text.data[0] == '/';
}

enum pn_status pn_route_host(struct pn_slice text, uint16_t port, struct pn_slice *name_out,
                             uint16_t *port_out, bool *is_address_out)
{
	struct pn_slice name = text;
	size_t colon;

	*port_out = port;
	*is_address_out = false;
	if (text.size == 0 || text.size > HOST_MAX)
		return PN_FAILED;
	if (pn_slice_starts_with_ignore_case(text, PN_SLICE("unix:"))) {
		*name_out = text;
		*port_out = 0;
		*is_address_out = true;
		return is_path(pn_slice_behind(text, 5)) ? PN_OK : PN_FAILED;
	}
	if (text.data[0] == '[') {
		size_t end = pn_slice_find(text, ']');

		if (end >= text.size)
			return PN_FAILED;
		name = pn_slice_make(text.data + 1, end - 1);
		text = pn_slice_behind(text, end + 1);
		if (text.size > 0 &&
		    (text.data[0] != ':' || read_port(pn_slice_behind(text, 1), port_out) != PN_OK))
			return PN_FAILED;
		*is_address_out = true;
		*name_out = name;
		return is_address(name) ? PN_OK : PN_FAILED;
	}
	if (is_address(text)) {
		*is_address_out = true;
		*name_out = text;
		return PN_OK;
	}
	colon = pn_slice_find(text, ':');
	if (colon < text.size) {
		name = pn_slice_make(text.data, colon);
		if (read_port(pn_slice_behind(text, colon + 1), port_out) != PN_OK)
			return PN_FAILED;
	}
	*name_out = name;
	*is_address_out = is_address(name);
	return *is_address_out || pn_domain_is_valid(name, false) ? PN_OK : PN_FAILED;
}

enum pn_status pn_route_check(const struct pn_route *route, struct pn_error *error)
{
	struct pn_slice name;
	uint16_t port;
	bool is_literal;

	if (route->kind == PN_ROUTE_HOSTS &&
	    (route->host_count == 0 || route->host_count > PN_ROUTE_HOSTS_MAX))
		return pn_fail(error, "a route has 1 to %d hosts, not %zu", PN_ROUTE_HOSTS_MAX,
		               route->host_count);
	for (size_t i = 0; route->kind == PN_ROUTE_HOSTS && i < route->host_count; i++) {
		if (pn_route_host(route->hosts[i], 1, &name, &port, &is_literal) != PN_OK)
			return pn_fail(error,
			               "\"%.*s\" is no host: write \"mail.example.net:25\", "
			               "\"192.0.2.1:25\", \"[2001:db8::1]:25\" or "
			               "\"unix:/path\"",
			               PN_SLICE_ARGS(route->hosts[i]));
	}
	if (route->kind == PN_ROUTE_MX && route->domain.size > 0 &&
	    !pn_domain_is_valid(route->domain, true))
		return pn_fail(error, "\"%.*s\" is no domain", PN_SLICE_ARGS(route->domain));
	if (route->source_address.size > 0 && !is_address(route->source_address))
		return pn_fail(error, "\"%.*s\" is no IP address to connect from",
		               PN_SLICE_ARGS(route->source_address));
	for (size_t i = 0; i < route->transport.size; i++) {
		char byte = route->transport.data[i];

		if (byte <= ' ' || byte >= 0x7f || strchr(",;@:", byte) != NULL)
			return pn_fail(error, "\"%.*s\" is no name of a transport",
			               PN_SLICE_ARGS(route->transport));
	}
	return PN_OK;
}

struct pn_route *pn_route_keep(struct pn_arena *arena, const struct pn_route *route)
{
	struct pn_route *kept = PN_ARENA_NEW(arena, struct pn_route);
	struct pn_slice *hosts = PN_ARENA_ARRAY(arena, route->host_count, struct pn_slice);

	*kept = *route;
	kept->struct_size = sizeof(*kept);
	kept->transport = pn_arena_keep(arena, route->transport);
	kept->domain = pn_arena_keep(arena, route->domain);
	kept->source_address = pn_arena_keep(arena, route->source_address);
	for (size_t i = 0; i < route->host_count; i++)
		hosts[i] = pn_arena_keep(arena, route->hosts[i]);
	kept->hosts = hosts;
	return kept;
}

/* ---- as text ---- */

static enum pn_status write_hosts(const struct pn_route *route, struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(out, PN_SLICE("hosts:"));

	for (size_t i = 0; i < route->host_count && status == PN_OK; i++)
		status = pn_buffer_print(out, "%s%.*s", i == 0 ? "" : ",",
		                         PN_SLICE_ARGS(route->hosts[i]));
	return status;
}

struct pn_slice pn_route_format(const struct pn_route *route, struct pn_slice domain,
                                struct pn_arena *arena)
{
	bool is_plain = route->transport.size == 0 && route->tls == PN_ROUTE_TLS_DEFAULT &&
	                route->source_address.size == 0;
	struct pn_slice to = route->domain.size > 0 ? route->domain : domain;
	struct pn_slice text;
	struct pn_buffer out;
	enum pn_status status;

	if (route->kind == PN_ROUTE_ACCOUNT)
		return PN_SLICE("account");
	if (route->kind != PN_ROUTE_HOSTS && is_plain)
		return pn_arena_keep(arena, to);
	pn_buffer_init(&out, 64 * 1024);
	if (route->kind == PN_ROUTE_HOSTS)
		status = write_hosts(route, &out);
	else
		status = pn_buffer_print(&out, "mx:%.*s", PN_SLICE_ARGS(to));
	if (status == PN_OK && route->transport.size > 0)
		status = pn_buffer_print(&out, "@%.*s", PN_SLICE_ARGS(route->transport));
	if (status == PN_OK && route->tls != PN_ROUTE_TLS_DEFAULT)
		status = pn_buffer_print(&out, ";tls=%s", pn_route_tls_name(route->tls));
	if (status == PN_OK && route->source_address.size > 0)
		status =
			pn_buffer_print(&out, ";source=%.*s", PN_SLICE_ARGS(route->source_address));
	text = pn_arena_keep(arena, pn_buffer_slice(&out));
	pn_buffer_clear(&out);
	return status == PN_OK ? text : PN_SLICE_NONE; /* hosts are few and short: it fits */
}

static enum pn_status read_parameter(struct pn_slice parameter, struct pn_route *route,
                                     struct pn_error *error)
{
	struct pn_slice value = parameter;
	struct pn_slice name = pn_slice_cut(&value, '=');

	if (pn_slice_equal(name, PN_SLICE("tls")) && pn_route_tls_of(value, &route->tls) == PN_OK)
		return PN_OK;
	if (pn_slice_equal(name, PN_SLICE("source")) && is_address(value)) {
		route->source_address = value;
		return PN_OK;
	}
	return pn_fail(error,
	               "\"%.*s\" in a route: write ;tls=never|opportunistic|required|verified or "
	               ";source=ADDRESS",
	               PN_SLICE_ARGS(parameter));
}

static void read_hosts(struct pn_slice text, struct pn_arena *arena, struct pn_route *route)
{
	struct pn_slice *hosts = PN_ARENA_ARRAY(arena, PN_ROUTE_HOSTS_MAX + 1, struct pn_slice);

	while (text.size > 0 && route->host_count <= PN_ROUTE_HOSTS_MAX)
		hosts[route->host_count++] = pn_slice_cut(&text, ',');
	route->hosts = hosts;
}

enum pn_status pn_route_parse(struct pn_slice text, struct pn_arena *arena,
                              struct pn_route *route_out, struct pn_error *error)
{
	struct pn_slice rest = pn_arena_keep(arena, text);
	struct pn_slice head = pn_slice_cut(&rest, ';');
	struct pn_slice transport = head;
	struct pn_slice where = pn_slice_cut(&transport, '@');
	enum pn_status status = PN_OK;

	*route_out = (struct pn_route){
		.struct_size = sizeof(*route_out),
		.kind = PN_ROUTE_MX,
		.transport = transport,
	};
	if (pn_slice_equal(where, PN_SLICE("account")))
		route_out->kind = PN_ROUTE_ACCOUNT;
	else if (pn_slice_starts_with_ignore_case(where, PN_SLICE("hosts:"))) {
		route_out->kind = PN_ROUTE_HOSTS;
		read_hosts(pn_slice_behind(where, 6), arena, route_out);
	} else if (pn_slice_starts_with_ignore_case(where, PN_SLICE("mx:"))) {
		route_out->domain = pn_slice_behind(where, 3);
	} else if (!pn_slice_equal(where, PN_SLICE("mx"))) {
		route_out->domain = where;
	}
	while (status == PN_OK && rest.size > 0)
		status = read_parameter(pn_slice_cut(&rest, ';'), route_out, error);
	/* Address literals ("[192.0.2.1]") are destinations, too. */
	if (status == PN_OK && route_out->kind == PN_ROUTE_MX && route_out->domain.size > 0 &&
	    route_out->domain.data[0] == '[')
		return PN_OK;
	return status == PN_OK ? pn_route_check(route_out, error) : status;
}
