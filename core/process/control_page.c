/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control page: a small web server of the control worker, for /health and
 * /metrics. Read-only. Loop thread.
 */
#include "process/worker.h"

#include "io/loop.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_SIZE = 256 * 1024 };

static struct {
	struct MHD_Daemon *daemon;
	struct pn_watch *watch;
	struct pn_timer *timer;
	char *address;
	void (*idle)(void); /* takes no more connections, and tells when the last one ended */
} page;

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
		pn_top_metrics(pn_worker.shared, &body);
		result = respond(connection, MHD_HTTP_OK, "text/plain; version=0.0.4",
		                 pn_buffer_slice(&body));
	} else {
		result = respond(connection, MHD_HTTP_NOT_FOUND, "text/plain",
		                 PN_SLICE("try /health or /metrics\n"));
	}
	pn_buffer_clear(&body);
	return result;
}

bool pn_control_page_is_idle(void)
{
	const union MHD_DaemonInfo *info;

	if (page.daemon == NULL)
		return true;
	info = MHD_get_daemon_info(page.daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	return info == NULL || info->num_connections == 0;
}

static void run_http(void)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	MHD_run(page.daemon);
	if (MHD_get_timeout(page.daemon, &timeout) == MHD_YES)
		pn_timer_set(page.timer, timeout);
	else
		pn_timer_stop(page.timer);
	if (page.idle != NULL && pn_control_page_is_idle())
		page.idle();
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

void pn_control_page_close(void (*idle)(void))
{
	if (page.daemon == NULL || page.idle != NULL)
		return;
	page.idle = idle;
	close(MHD_quiesce_daemon(page.daemon)); /* our copy; the socket is the master's */
}

void pn_control_page_stop(void)
{
	if (page.daemon == NULL)
		return;
	if (page.idle == NULL)
		close(MHD_quiesce_daemon(page.daemon));
	pn_watch_free(&page.watch, false);
	pn_timer_free(&page.timer);
	MHD_stop_daemon(page.daemon);
	free(page.address);
	memset(&page, 0, sizeof(page));
}

enum pn_status pn_control_page_use(const char *address, struct pn_error *error)
{
	const union MHD_DaemonInfo *info;
	int descriptor, own;

	if (page.daemon != NULL && strcmp(page.address, address) == 0)
		return PN_OK;
	pn_control_page_stop();
	if (address[0] == '\0' || (descriptor = pn_listening_descriptor(address)) < 0)
		return PN_OK;
	own = dup(descriptor);
	page.daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer_request, NULL,
	                               MHD_OPTION_LISTEN_SOCKET, own, MHD_OPTION_CONNECTION_LIMIT,
	                               64u, MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
	if (page.daemon == NULL) {
		close(own);
		return pn_fail(error, "cannot serve the control page on %s", address);
	}
	page.address = strdup(address);
	info = MHD_get_daemon_info(page.daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL ||
	    pn_watch_new(info->epoll_fd, http_ready, NULL, &page.watch, error) != PN_OK)
		return pn_fail(error, "cannot watch the control page on %s", address);
	pn_watch_set(page.watch, PN_WATCH_READ);
	page.timer = pn_timer_new(http_timed, NULL);
	return PN_OK;
}
