/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to web servers. Two clients, so that no connection to a private address is
 * ever used again by a request that may not have one. Addresses are looked at when a
 * socket is made for them, after all redirects and lookups.
 */
#include "io/http.h"

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/text.h>

#include "io/loop.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	UNDER_WAY_MAX = 256,
	CONNECTIONS_MAX = 128,
	CONNECTIONS_OF_A_HOST_MAX = 32,
	REDIRECTS_MAX = 5,
	CONNECT_MS_MAX = 10000,
	ANSWER_HEADER_MAX = 64 * 1024,
};

struct client {
	CURLM *multi;
	struct pn_timer *timer;
};

static struct {
	struct client clients[2]; /* for public addresses only; for all */
	bool has_begun;
	size_t under_way;
	struct http_call *first;
} http;

/* A request under way; then its answer. */
struct http_call {
	CURL *easy;
	struct client *client;
	struct pn_ticket ticket;
	struct pn_arena *arena;
	struct curl_slist *headers;
	struct pn_buffer body;
	struct pn_http_header *answer_headers;
	size_t answer_size; /* of their bytes */
	struct pn_http_response response;
	bool allows_private;
	bool was_denied;
	bool is_too_large;
	char why[CURL_ERROR_SIZE];
	struct http_call *previous;
	struct http_call *next;
};

/* ---- which addresses are public ---- */

/* RFC 6890 and its successors: what is not for everybody. */
static bool is_public_4(uint32_t address)
{
	static const struct {
		uint32_t network;
		unsigned bits;
	} others[] = {{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},
	              {0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000000, 24}, {0xc0000200, 24},
	              {0xc0586300, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xc6336400, 24},
	              {0xcb007100, 24}, {0xe0000000, 4},  {0xf0000000, 4}};

	for (size_t index = 0; index < sizeof(others) / sizeof(others[0]); index++) {
		if ((address ^ others[index].network) >> (32 - others[index].bits) == 0)
			return false;
	}
	return true;
}

/* Global unicast, without tunnels into IPv4 and without what is for documents. */
static bool is_public_6(const uint8_t *address)
{
	unsigned first = (unsigned)address[0] << 8 | address[1];
	unsigned second = (unsigned)address[2] << 8 | address[3];

	if ((address[0] & 0xe0) != 0x20 || first == 0x2002)
		return false;
	if (first == 0x2001 && (second < 0x0200 || second == 0x0db8))
		return false;
	return first != 0x3fff || (second & 0xf000) != 0;
}

bool pn_http_is_public(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_public_4(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
	return address->sa_family == AF_INET6 &&
	       is_public_6(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr);
}

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_call *call = user;

	(void)purpose;
	if (!call->allows_private && !pn_http_is_public(&address->addr)) {
		call->was_denied = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- answers ---- */

static void free_call(struct http_call *call)
{
	struct pn_arena *arena = call->arena;

	curl_slist_free_all(call->headers);
	pn_buffer_clear(&call->body);
	pn_arena_free(&arena);
}

static void release_response(void *response)
{
	free_call((struct http_call *)((char *)response - offsetof(struct http_call, response)));
}

static void leave(struct http_call *call)
{
	if (call->previous != NULL)
		call->previous->next = call->next;
	else
		http.first = call->next;
	if (call->next != NULL)
		call->next->previous = call->previous;
	http.under_way--;
	curl_multi_remove_handle(call->client->multi, call->easy);
	curl_easy_cleanup(call->easy);
	call->easy = NULL;
}

static void answer(struct http_call *call, enum pn_status status, const char *why)
{
	struct pn_error error;
	struct pn_ticket ticket = call->ticket;

	if (status == PN_OK) {
		call->response.struct_size = sizeof(call->response);
		call->response.headers = call->answer_headers;
		call->response.body =
			call->body.size == 0 ? PN_SLICE("") : pn_buffer_slice(&call->body);
		pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_OK, &call->response, release_response,
		                 NULL);
		return;
	}
	status = pn_fail_with(status, &error, "%s", why);
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, status, NULL, NULL, &error);
	free_call(call);
}

static void finish(struct http_call *call, CURLcode code)
{
	const char *why = call->why[0] != '\0' ? call->why : curl_easy_strerror(code);
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	call->response.status = (unsigned)status;
	leave(call);
	if (call->was_denied && code != CURLE_OK)
		answer(call, PN_DENIED, "its address is not a public one");
	else if (call->is_too_large)
		answer(call, PN_LIMIT, "the answer is too large");
	else if (code == CURLE_OPERATION_TIMEDOUT)
		answer(call, PN_TIMEOUT, "no answer in time");
	else if (code == CURLE_UNSUPPORTED_PROTOCOL)
		answer(call, PN_DENIED, "only http and https are spoken");
	else if (code != CURLE_OK)
		answer(call, PN_FAILED, why);
	else
		answer(call, PN_OK, NULL);
}

static size_t take_body(char *bytes, size_t one, size_t size, void *user)
{
	struct http_call *call = user;

	(void)one;
	if (pn_buffer_append(&call->body, pn_slice_make(bytes, size)) == PN_OK)
		return size;
	call->is_too_large = true;
	return 0;
}

static struct pn_slice trim(struct pn_slice text)
{
	while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text = pn_slice_behind(text, 1);
	while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL)
		text.size--;
	return text;
}

/* A line of the header. After a redirect the header begins again. */
static size_t take_header(char *bytes, size_t one, size_t size, void *user)
{
	struct http_call *call = user;
	const char *colon = memchr(bytes, ':', size);
	struct pn_http_header *header;
	char *name;

	(void)one;
	call->answer_size += size;
	if (call->answer_size > ANSWER_HEADER_MAX) {
		call->is_too_large = true;
		return 0;
	}
	if (size > 5 && memcmp(bytes, "HTTP/", 5) == 0) {
		call->response.header_count = 0;
		call->body.size = 0;
		return size;
	}
	if (colon == NULL || call->response.header_count == PN_HTTP_HEADERS_MAX)
		return size;
	name = pn_arena_keep_text(call->arena, pn_slice_make(bytes, (size_t)(colon - bytes)));
	for (char *at = name; *at != '\0'; at++)
		*at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at;
	header = &call->answer_headers[call->response.header_count++];
	header->name = pn_slice_of(name);
	header->value = pn_arena_keep(
		call->arena, trim(pn_slice_make(colon + 1, size - (size_t)(colon + 1 - bytes))));
	return size;
}

/* ---- libcurl on the loop ---- */

static void look_for_ends(struct client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
		struct http_call *call = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
		finish(call, message->data.result);
	}
}

/* A socket of libcurl; its number is known from the watch only when it is asked for. */
struct http_socket {
	struct client *client;
	curl_socket_t number;
	struct pn_watch *watch;
};

static void socket_ready(void *user, int events)
{
	struct http_socket *watched = user;
	struct client *client = watched->client;
	int action = ((events & PN_WATCH_READ) != 0 ? CURL_CSELECT_IN : 0) |
	             ((events & PN_WATCH_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
	int running;

	/* May free what we were called with. */
	curl_multi_socket_action(client->multi, watched->number, action, &running);
	look_for_ends(client);
}

static int watch_socket(CURL *easy, curl_socket_t number, int what, void *user, void *socket_user)
{
	struct http_socket *watched = socket_user;
	struct client *client = user;
	struct pn_error error;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watched != NULL) {
			pn_watch_free(&watched->watch, false);
			free(watched);
		}
		curl_multi_assign(client->multi, number, NULL);
		return 0;
	}
	if (watched == NULL) {
		watched = calloc(1, sizeof(*watched));
		if (watched == NULL)
			abort();
		watched->client = client;
		watched->number = number;
		if (pn_watch_new(number, socket_ready, watched, &watched->watch, &error) != PN_OK) {
			free(watched);
			return -1;
		}
		curl_multi_assign(client->multi, number, watched);
	}
	pn_watch_set(watched->watch, (what & CURL_POLL_IN ? PN_WATCH_READ : 0) |
	                                     (what & CURL_POLL_OUT ? PN_WATCH_WRITE : 0));
	return 0;
}

static void timer_fired(void *user)
{
	struct client *client = user;
	int running;

	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	look_for_ends(client);
}

static int set_timer(CURLM *multi, long milliseconds, void *user)
{
	struct client *client = user;

	(void)multi;
	if (milliseconds < 0)
		pn_timer_stop(client->timer);
	else
		pn_timer_set(client->timer, (uint64_t)milliseconds);
	return 0;
}

static void begin(void)
{
	if (http.has_begun)
		return;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
	for (size_t index = 0; index < 2; index++) {
		struct client *client = &http.clients[index];

		client->multi = curl_multi_init();
		if (client->multi == NULL)
			abort();
		client->timer = pn_timer_new(timer_fired, client);
		curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
		curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
		curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
		curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
		curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
		                  (long)CONNECTIONS_MAX);
		curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
		                  (long)CONNECTIONS_OF_A_HOST_MAX);
		curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
	}
	http.has_begun = true;
}

void pn_http_client_stop(void)
{
	if (!http.has_begun)
		return;
	while (http.first != NULL) {
		struct http_call *call = http.first;

		leave(call);
		answer(call, PN_FAILED, "the gateway stops");
	}
	for (size_t index = 0; index < 2; index++) {
		curl_multi_cleanup(http.clients[index].multi);
		pn_timer_free(&http.clients[index].timer);
	}
	curl_global_cleanup();
	memset(&http, 0, sizeof(http));
}

/* ---- requests ---- */

static bool has_control(struct pn_slice text)
{
	for (size_t index = 0; index < text.size; index++) {
		unsigned char byte = (unsigned char)text.data[index];

		if ((byte < ' ' && byte != '\t') || byte == 0x7f)
			return true;
	}
	return false;
}

/* What is wrong with a request; NULL: nothing. */
static const char *check_request(const struct pn_http_request *request)
{
	static const char *const methods[] = {"GET",   "HEAD",   "POST",    "PUT",
	                                      "PATCH", "DELETE", "OPTIONS", NULL};
	static const char *const ours[] = {"host",       "content-length", "transfer-encoding",
	                                   "connection", "upgrade",        "expect",
	                                   NULL};
	size_t index = 0;

	while (request->method != NULL && methods[index] != NULL &&
	       strcmp(methods[index], request->method) != 0)
		index++;
	if (methods[index] == NULL)
		return "there is no such method";
	if (request->url.size == 0 || request->url.size > PN_HTTP_URL_MAX ||
	    has_control(request->url) || memchr(request->url.data, ' ', request->url.size) != NULL)
		return "this is no address of a web page";
	if (request->header_count > PN_HTTP_HEADERS_MAX)
		return "there are too many fields in the header";
	if (request->body.size > PN_HTTP_BODY_MAX)
		return "the body is too large";
	for (index = 0; index < request->header_count; index++) {
		const struct pn_http_header *header = &request->headers[index];

		if (header->name.size == 0 || header->name.size > 100 ||
		    has_control(header->name) ||
		    memchr(header->name.data, ':', header->name.size) != NULL ||
		    memchr(header->name.data, ' ', header->name.size) != NULL ||
		    header->value.size > PN_HTTP_URL_MAX || has_control(header->value))
			return "this is no field of a header";
		for (size_t other = 0; ours[other] != NULL; other++) {
			if (pn_slice_equal_ignore_case(header->name, pn_slice_of(ours[other])))
				return "this field of the header is not the caller's";
		}
	}
	return NULL;
}

static void add_header(struct http_call *call, const char *line)
{
	struct curl_slist *list = curl_slist_append(call->headers, line);

	if (list == NULL)
		abort();
	call->headers = list;
}

static void set_headers(struct http_call *call, const struct pn_http_request *request)
{
	bool has_type = false;

	for (size_t index = 0; index < request->header_count; index++) {
		const struct pn_http_header *header = &request->headers[index];

		has_type = has_type ||
		           pn_slice_equal_ignore_case(header->name, PN_SLICE("content-type"));
		/* "Name;" is how libcurl is told of a field without a value. */
		add_header(call, header->value.size > 0
		                         ? pn_arena_print(call->arena, "%.*s: %.*s",
		                                          PN_SLICE_ARGS(header->name),
		                                          PN_SLICE_ARGS(header->value))
		                         : pn_arena_print(call->arena, "%.*s;",
		                                          PN_SLICE_ARGS(header->name)));
	}
	if (!has_type)
		add_header(call, "Content-Type:");
	add_header(call, "Expect:");
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void set_method(struct http_call *call, const struct pn_http_request *request)
{
	const char *method = request->method != NULL      ? request->method
	                     : request->body.data != NULL ? "POST"
	                                                  : "GET";

	if (request->body.data != NULL || strcmp(method, "POST") == 0) {
		curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
		                 (curl_off_t)request->body.size);
		curl_easy_setopt(call->easy, CURLOPT_COPYPOSTFIELDS,
		                 request->body.size > 0 ? request->body.data : "");
	}
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
	else if (strcmp(method, "GET") != 0 || request->body.data != NULL)
		curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_options(struct http_call *call, const struct pn_http_request *request)
{
	CURL *easy = call->easy;
	long timeout_ms = request->timeout_ms > 3600000 ? 3600000L : (long)request->timeout_ms;
	long connect_ms = timeout_ms < CONNECT_MS_MAX ? timeout_ms : CONNECT_MS_MAX;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(easy, CURLOPT_URL, pn_arena_keep_text(call->arena, request->url));
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, request->follows_redirects ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms < 1 ? 1L : timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms < 1 ? 1L : connect_ms);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "postern");
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->why);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
}

static void refuse(struct pn_ticket ticket, enum pn_status status, const char *why)
{
	struct pn_error error;

	status = pn_fail_with(status, &error, "%s", why);
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, status, NULL, NULL, &error);
}

void pn_http_client_ask(const struct pn_http_request *request, struct pn_ticket ticket)
{
	const char *problem = check_request(request);
	uint64_t max_body = request->max_body < 1 ? 1 : request->max_body;
	struct pn_arena *arena;
	struct http_call *call;

	if (problem != NULL || http.under_way >= UNDER_WAY_MAX) {
		refuse(ticket, problem != NULL ? PN_DENIED : PN_LIMIT,
		       problem != NULL ? problem : "too many requests are under way");
		return;
	}
	begin();
	arena = pn_arena_new();
	call = PN_ARENA_NEW(arena, struct http_call);
	call->arena = arena;
	call->ticket = ticket;
	call->allows_private = request->allows_private;
	call->client = &http.clients[request->allows_private ? 1 : 0];
	call->answer_headers = PN_ARENA_ARRAY(arena, PN_HTTP_HEADERS_MAX, struct pn_http_header);
	pn_buffer_init(&call->body,
	               max_body > PN_HTTP_BODY_MAX ? PN_HTTP_BODY_MAX : (size_t)max_body);
	call->easy = curl_easy_init();
	if (call->easy == NULL)
		abort();
	set_options(call, request);
	set_method(call, request);
	set_headers(call, request);
	call->next = http.first;
	if (call->next != NULL)
		call->next->previous = call;
	http.first = call;
	http.under_way++;
	if (curl_multi_add_handle(call->client->multi, call->easy) != CURLM_OK)
		finish(call, CURLE_FAILED_INIT);
}
