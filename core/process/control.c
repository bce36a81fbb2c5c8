/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control worker: a small web server for /health and /metrics (read-only),
 * and the control socket for the commands status, reload and stop. It asks the
 * master for what only the master can do, and keeps house. Loop thread.
 */
#include "process/worker.h"

#include <postern/clock.h>
#include <postern/log.h>

#include "io/loop.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MAX_CLIENTS = 16,
	COMMAND_SIZE = 256,
	HOUSE_MS = 60 * 1000,
	STARVED_MS = 1000,
	ANSWER_SIZE = 64 * 1024
};

/* One connection to the control socket. */
struct control_client {
	struct pn_watch *watch;
	int descriptor;
	unsigned id; /* so that a late result finds the right one, or nobody */
	char command[COMMAND_SIZE];
	size_t size;
};

static struct {
	struct MHD_Daemon *http;
	struct pn_watch *http_watch;
	struct pn_timer *http_timer;
	char *http_address;
	struct pn_watch *socket_watch;
	int socket;
	struct control_client *clients[MAX_CLIENTS];
	unsigned next_id;
	struct pn_timer *house_timer;
} control = {.socket = -1};

/* ---- the web server ---- */

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned code, const char *type,
                               struct pn_slice body)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		body.size, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = MHD_queue_response(connection, code, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_request(void *user, struct MHD_Connection *connection,
                                      const char *url, const char *method, const char *version,
                                      const char *upload, size_t *upload_size, void **state)
{
	struct pn_buffer body;
	enum MHD_Result result;

	(void)user;
	(void)version;
	(void)upload;
	(void)state;
	*upload_size = 0;
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
		               PN_SLICE("only GET\n"));
	pn_buffer_init(&body, ANSWER_SIZE);
	if (strcmp(url, "/health") == 0) {
		bool healthy = pn_status_is_healthy(pn_worker.shared);

		pn_status_write(pn_worker.shared, true, &body);
		result = respond(connection, healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
		                 "application/json", pn_buffer_slice(&body));
	} else if (strcmp(url, "/metrics") == 0) {
		pn_metrics_write(pn_worker.shared, &body);
		result = respond(connection, MHD_HTTP_OK, "text/plain; version=0.0.4",
		                 pn_buffer_slice(&body));
	} else {
		result = respond(connection, MHD_HTTP_NOT_FOUND, "text/plain",
		                 PN_SLICE("try /health or /metrics\n"));
	}
	pn_buffer_clear(&body);
	return result;
}

static void run_http(void)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	MHD_run(control.http);
	if (MHD_get_timeout(control.http, &timeout) == MHD_YES)
		pn_timer_set(control.http_timer, timeout);
	else
		pn_timer_stop(control.http_timer);
}

static void http_ready(void *user, int events)
{
	(void)user;
	(void)events;
	run_http();
}

static void http_timed(void *user)
{
	(void)user;
	run_http();
}

static void stop_http(void)
{
	if (control.http == NULL)
		return;
	pn_watch_free(&control.http_watch, false);
	pn_timer_free(&control.http_timer);
	close(MHD_quiesce_daemon(control.http)); /* our copy; the socket is the master's */
	MHD_stop_daemon(control.http);
	control.http = NULL;
	free(control.http_address);
}

static enum pn_status start_http(const char *address, struct pn_error *error)
{
	const union MHD_DaemonInfo *info;
	int descriptor;

	if (control.http != NULL && strcmp(control.http_address, address) == 0)
		return PN_OK;
	stop_http();
	if (address[0] == '\0' || (descriptor = pn_listening_descriptor(address)) < 0)
		return PN_OK;
	control.http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer_request, NULL,
	                                MHD_OPTION_LISTEN_SOCKET, dup(descriptor),
	                                MHD_OPTION_CONNECTION_LIMIT, 64u,
	                                MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
	if (control.http == NULL)
		return pn_fail(error, "cannot serve the control page on %s", address);
	control.http_address = strdup(address);
	info = MHD_get_daemon_info(control.http, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL ||
	    pn_watch_new(info->epoll_fd, http_ready, NULL, &control.http_watch, error) != PN_OK)
		return pn_fail(error, "cannot watch the control page on %s", address);
	pn_watch_set(control.http_watch, PN_WATCH_READ);
	control.http_timer = pn_timer_new(http_timed, NULL);
	return PN_OK;
}

/* ---- the control socket ---- */

static void end_client(struct control_client *client)
{
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (control.clients[i] == client)
			control.clients[i] = NULL;
	}
	pn_watch_free(&client->watch, true);
	free(client);
}

/* Answers are small: what a client does not read at once into its socket buffer is its loss. */
static void answer_client(struct control_client *client, struct pn_slice text)
{
	(void)!send(client->descriptor, text.data, text.size, MSG_NOSIGNAL | MSG_DONTWAIT);
	end_client(client);
}

static void run_command(struct control_client *client)
{
	struct pn_buffer answer;

	if (strcmp(client->command, "reload") == 0 || strcmp(client->command, "stop") == 0) {
		/* The answer comes with pn_control_result. */
		if (pn_channel_send(PN_CHANNEL_DESCRIPTOR, -1, "ask\n%u\n%s", client->id,
		                    client->command) != PN_OK)
			answer_client(client, PN_SLICE("failed the master does not answer\n"));
		return;
	}
	pn_buffer_init(&answer, ANSWER_SIZE);
	if (strcmp(client->command, "status") == 0)
		pn_status_write(pn_worker.shared, false, &answer);
	else if (strcmp(client->command, "status json") == 0)
		pn_status_write(pn_worker.shared, true, &answer);
	else
		(void)!pn_buffer_print(&answer, "failed unknown command\n");
	answer_client(client, pn_buffer_slice(&answer));
	pn_buffer_clear(&answer);
}

void pn_control_result(const char *id, const char *text)
{
	unsigned number = (unsigned)strtoul(id, NULL, 10);
	char line[PN_PACKET_SIZE];

	snprintf(line, sizeof(line), "%s\n", text);
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (control.clients[i] != NULL && control.clients[i]->id == number) {
			answer_client(control.clients[i], pn_slice_of(line));
			return;
		}
	}
}

static void client_ready(void *user, int events)
{
	struct control_client *client = user;
	ssize_t size = recv(client->descriptor, client->command + client->size,
	                    sizeof(client->command) - 1 - client->size, MSG_DONTWAIT);
	char *end;

	(void)events;
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0 || client->size + (size_t)size == sizeof(client->command) - 1) {
		end_client(client);
		return;
	}
	client->size += (size_t)size;
	client->command[client->size] = '\0';
	end = strchr(client->command, '\n');
	if (end == NULL)
		return;
	*end = '\0';
	pn_watch_set(client->watch, 0);
	run_command(client);
}

/* The mode of the socket keeps others out; this does so too where a file system ignores modes. */
static bool may_command(int descriptor)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void client_waits(void *user, int events)
{
	int descriptor = accept4(control.socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct control_client *client;
	struct pn_error error;
	size_t place = 0;

	(void)user;
	(void)events;
	if (descriptor < 0) {
		/* Without descriptors the connection stays there: looked at again with the house.
		 */
		if (errno == EMFILE || errno == ENFILE) {
			pn_watch_set(control.socket_watch, 0);
			pn_timer_set(control.house_timer, STARVED_MS);
		}
		return;
	}
	while (place < MAX_CLIENTS && control.clients[place] != NULL)
		place++;
	if (place == MAX_CLIENTS || !may_command(descriptor)) {
		close(descriptor);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		abort();
	client->descriptor = descriptor;
	client->id = ++control.next_id;
	if (pn_watch_new(descriptor, client_ready, client, &client->watch, &error) != PN_OK) {
		close(descriptor);
		free(client);
		return;
	}
	control.clients[place] = client;
	pn_watch_set(client->watch, PN_WATCH_READ);
}

/* ---- housekeeping ---- */

static void keep_house(void *unused)
{
	const struct pn_gateway_settings *settings = &pn_worker.current->config->settings;
	char directory[600];

	(void)unused;
	if (control.socket_watch != NULL)
		pn_watch_set(control.socket_watch, PN_WATCH_READ);
	snprintf(directory, sizeof(directory), "%s/history", settings->data_directory);
	pn_history_keep_house(directory, settings->history_age, settings->history_size);
	pn_timer_set(control.house_timer, HOUSE_MS);
}

enum pn_status pn_control_use(const struct pn_assembly *assembly, struct pn_error *error)
{
	const char *address = assembly->config->settings.control;
	enum pn_status status;

	if (control.socket_watch == NULL) {
		control.socket = pn_listening_descriptor("control-socket");
		if (control.socket >= 0 && pn_watch_new(control.socket, client_waits, NULL,
		                                        &control.socket_watch, error) != PN_OK)
			return PN_FAILED;
		if (control.socket >= 0)
			pn_watch_set(control.socket_watch, PN_WATCH_READ);
		control.house_timer = pn_timer_new(keep_house, NULL);
		pn_timer_set(control.house_timer, HOUSE_MS);
	}
	status = start_http(address, error);
	/* What the edge workers listen to is none of ours: held here, it would outlive its removal.
	 */
	pn_listening_keep_only("control-socket", address);
	return status;
}

void pn_control_stop(void)
{
	stop_http();
	pn_watch_free(&control.socket_watch, false);
	pn_timer_free(&control.house_timer);
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (control.clients[i] != NULL)
			end_client(control.clients[i]);
	}
}
