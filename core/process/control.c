/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control worker: the control socket, for the commands of `postern` that ask or
 * tell the gateway something, and housekeeping. It asks the master for what only
 * the master can do. A command that was taken is answered, also while the worker
 * stops. Loop thread.
 */
#include "process/worker.h"

#include <postern/clock.h>
#include <postern/log.h>

#include "io/loop.h"
#include "store/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MAX_CLIENTS = 16,
	COMMAND_SIZE = 512,
	COMMAND_MS = 5000, /* for a client to say what it wants */
	LINGER_MS = 500,   /* the same, when the worker stops */
	HOUSE_MS = 60 * 1000,
	STARVED_MS = 1000,
	ANSWER_SIZE = 256 * 1024
};

/* One connection to the control socket. */
struct control_client {
	struct pn_watch *watch;
	int descriptor;
	unsigned id; /* so that a late result finds the right one, or nobody */
	char command[COMMAND_SIZE];
	size_t size;
	bool is_asking;            /* the master, whose answer it waits for */
	struct pn_timer *deadline; /* for the command */
};

static struct {
	struct pn_watch *socket_watch;
	int socket;
	struct control_client *clients[MAX_CLIENTS];
	unsigned next_id;
	struct pn_timer *house_timer;
	uint32_t suspects_saved; /* what of their changes is in the file */
	void (*finished)(void);  /* it stops: no more clients are taken, and these end first */
	struct pn_timer *linger;
} control = {.socket = -1};

/* ---- the control socket ---- */

static void finish_when_idle(void)
{
	void (*finished)(void) = control.finished;

	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (control.clients[i] != NULL)
			return;
	}
	if (finished == NULL || !pn_control_page_is_idle())
		return;
	control.finished = NULL;
	finished();
}

static void end_client(struct control_client *client)
{
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (control.clients[i] == client)
			control.clients[i] = NULL;
	}
	pn_timer_free(&client->deadline);
	pn_watch_free(&client->watch, true);
	free(client);
	finish_when_idle();
}

static void say(int descriptor, struct pn_slice text)
{
	(void)!send(descriptor, text.data, text.size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Answers are small: what a client does not read at once into its socket buffer is its loss. */
static void answer_client(struct control_client *client, struct pn_slice text)
{
	say(client->descriptor, text);
	end_client(client);
}

static void client_is_late(void *user)
{
	answer_client(user, PN_SLICE("failed no command came in time\n"));
}

/* A command of `postern` wrote to the store: who watches what it changed hears of it. */
static void run_notice(const char *command, struct pn_buffer *answer)
{
	static const char changed[] = "changed ";
	const char *text = "ok\n";

	if (strncmp(command, changed, sizeof(changed) - 1) == 0)
		pn_watch_changed(pn_slice_of(command + sizeof(changed) - 1), NULL);
	else if (strcmp(command, "edited") == 0)
		pn_bus_edited();
	else
		text = "failed this gateway does not know that command: is it of another "
		       "version?\n";
	(void)!pn_buffer_append(answer, pn_slice_of(text));
}

static void run_command(struct control_client *client)
{
	struct pn_buffer answer;

	if (strcmp(client->command, "reload") == 0 || strcmp(client->command, "stop") == 0) {
		/* The answer comes with pn_control_result. */
		if (pn_channel_send(PN_CHANNEL_DESCRIPTOR, -1, "ask\n%u\n%s", client->id,
		                    client->command) != PN_OK)
			answer_client(client, PN_SLICE("failed the master does not answer\n"));
		else
			client->is_asking = true;
		return;
	}
	pn_buffer_init(&answer, ANSWER_SIZE);
	if (strcmp(client->command, "status") == 0)
		pn_status_write(pn_worker.shared, false, &answer);
	else if (strcmp(client->command, "status json") == 0)
		pn_status_write(pn_worker.shared, true, &answer);
	else if (strcmp(client->command, "top") == 0)
		pn_top_write(pn_worker.shared, &answer);
	else
		run_notice(client->command, &answer);
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
	pn_timer_stop(client->deadline);
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
		say(descriptor,
		    place == MAX_CLIENTS
		            ? PN_SLICE("failed too many commands are at work: try again\n")
		            : PN_SLICE("failed only root and the user of the gateway may command "
		                       "it\n"));
		close(descriptor);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		abort();
	client->descriptor = descriptor;
	client->id = ++control.next_id;
	if (pn_watch_new(descriptor, client_ready, client, &client->watch, &error) != PN_OK) {
		pn_log(PN_LOG_ERROR, "control", "%s", error.text);
		say(descriptor, PN_SLICE("failed the gateway cannot watch the connection\n"));
		close(descriptor);
		free(client);
		return;
	}
	control.clients[place] = client;
	client->deadline = pn_timer_new(client_is_late, client);
	pn_timer_set(client->deadline, COMMAND_MS);
	pn_watch_set(client->watch, PN_WATCH_READ);
}

/* ---- suspects ---- */

/* What the master counted must outlive the gateway. */
static bool save_suspects(void)
{
	struct pn_suspects *suspects = &pn_worker.shared->suspects;
	uint32_t changes = atomic_load(&suspects->changes);
	struct pn_error error;

	if (pn_worker.current == NULL || changes == control.suspects_saved)
		return false;
	if (pn_suspects_save(suspects, pn_worker.current->config->settings.data_directory,
	                     &error) != PN_OK) {
		pn_log(PN_LOG_ERROR, "suspects", "%s", error.text);
		return false;
	}
	control.suspects_saved = changes;
	return true;
}

/* The master woke everybody when a worker died. */
void pn_control_save_suspects(void)
{
	const struct pn_suspects *suspects = &pn_worker.shared->suspects;

	if (save_suspects())
		pn_log(PN_LOG_ERROR, "suspects",
		       "a worker died while a message was at work; %u messages are set aside, %u "
		       "hooks are disabled",
		       pn_suspects_count(suspects), atomic_load(&suspects->disabled_count));
}

static void load_suspects(const struct pn_assembly *assembly)
{
	struct pn_error error;

	if (pn_suspects_load(&pn_worker.shared->suspects, assembly->config->settings.data_directory,
	                     &error) != PN_OK)
		pn_log(PN_LOG_ERROR, "suspects", "%s", error.text);
}

/* ---- housekeeping ---- */

static void keep_house(void *unused)
{
	const struct pn_gateway_settings *settings = &pn_worker.current->config->settings;
	char directory[600];

	(void)unused;
	pn_control_save_suspects();
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

	load_suspects(assembly);
	/* What one before us may not have come to; it is no news. */
	(void)save_suspects();
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
	status = pn_control_page_use(address, error);
	/* What the edge workers listen to is none of ours: held here, it would outlive its removal.
	 */
	pn_listening_keep_only("control-socket", address);
	return status;
}

/* ---- the end ---- */

/* Connections of the web server that are kept open end with it. */
static void linger_no_longer(void *unused)
{
	(void)unused;
	pn_control_page_stop();
	finish_when_idle();
}

void pn_control_finish(void (*finished)(void))
{
	control.finished = finished;
	pn_watch_free(&control.socket_watch, false);
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (control.clients[i] != NULL && !control.clients[i]->is_asking)
			pn_timer_set(control.clients[i]->deadline, LINGER_MS);
	}
	pn_control_page_close(finish_when_idle);
	control.linger = pn_timer_new(linger_no_longer, NULL);
	pn_timer_set(control.linger, LINGER_MS);
	finish_when_idle();
}

void pn_control_stop(void)
{
	control.finished = NULL;
	pn_control_page_stop();
	pn_watch_free(&control.socket_watch, false);
	pn_timer_free(&control.house_timer);
	pn_timer_free(&control.linger);
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (control.clients[i] != NULL)
			answer_client(control.clients[i],
			              PN_SLICE("failed the control worker stopped before the "
			                       "answer was there: `postern status` tells which "
			                       "generation is in use\n"));
	}
}
