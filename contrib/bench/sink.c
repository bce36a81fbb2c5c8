/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink: takes mail over SMTP and forgets it, from one thread; the next hop of benches.
 *
 *	sink -p PORT [-a ADDRESS] …
 *
 * Each -a adds an address of 127.0.0.0/8 to listen on. Besides SMTP it knows XCOUNT, which
 * answers "250 MESSAGES BYTES LAST CPU": how many messages and bytes of them came, the
 * CLOCK_MONOTONIC moment of the last one, and the processor time that the sink used.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_SIZE = 64 * 1024, OUTPUT_SIZE = 4096, EVENTS = 256, ADDRESSES_MAX = 1024 };

struct client {
	int socket;
	bool is_in_data;
	size_t size;
	char input[INPUT_SIZE];
};

static struct {
	unsigned long messages;
	unsigned long long bytes;
	double last;
} seen;

static double now(void)
{
	struct timespec moment;

	clock_gettime(CLOCK_MONOTONIC, &moment);
	return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

static double processor_time(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static bool starts(const char *line, size_t size, const char *verb)
{
	size_t length = strlen(verb);

	return size >= length && strncasecmp(line, verb, length) == 0;
}

/* The reply to one command, appended to `output`; false after QUIT. */
static bool answer(struct client *client, const char *line, size_t size, char *output, size_t *used)
{
	const char *text = "250 2.0.0 yes\r\n";
	char counts[128];

	if (starts(line, size, "EHLO"))
		text = "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n";
	else if (starts(line, size, "QUIT"))
		text = "221 2.0.0 bye\r\n";
	else if (starts(line, size, "XCOUNT")) {
		snprintf(counts, sizeof(counts), "250 %lu %llu %.6f %.6f\r\n", seen.messages,
		         seen.bytes, seen.last, processor_time());
		text = counts;
	} else if (starts(line, size, "DATA")) {
		client->is_in_data = true;
		text = "354 go on\r\n";
	}
	if (*used + strlen(text) <= OUTPUT_SIZE) {
		memcpy(output + *used, text, strlen(text));
		*used += strlen(text);
	}
	return !starts(line, size, "QUIT");
}

/* Takes the lines that are whole; false where the connection is over. */
static bool take(struct client *client)
{
	static const char taken[] = "250 2.0.0 taken\r\n";
	char output[OUTPUT_SIZE];
	size_t used = 0;
	size_t at = 0;
	bool goes_on = true;

	while (goes_on && at < client->size) {
		const char *line = client->input + at;
		const char *end = memchr(line, '\n', client->size - at);
		size_t size = end == NULL ? client->size - at : (size_t)(end - line) + 1;

		if (end == NULL)
			break;
		at += size;
		if (!client->is_in_data) {
			goes_on = answer(client, line, size, output, &used);
		} else if (line[0] == '.' && size <= 3) {
			client->is_in_data = false;
			seen.messages++;
			seen.last = now();
			if (used + sizeof(taken) <= OUTPUT_SIZE) {
				memcpy(output + used, taken, sizeof(taken) - 1);
				used += sizeof(taken) - 1;
			}
		} else {
			seen.bytes += size;
		}
	}
	memmove(client->input, client->input + at, client->size - at);
	client->size -= at;
	if (client->size == INPUT_SIZE)
		goes_on = false; /* a line without an end */
	if (used > 0 && send(client->socket, output, used, MSG_NOSIGNAL) != (ssize_t)used)
		goes_on = false;
	return goes_on;
}

static void serve(int poll, struct client *client)
{
	ssize_t count =
		recv(client->socket, client->input + client->size, INPUT_SIZE - client->size, 0);

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count > 0) {
		client->size += (size_t)count;
		if (take(client))
			return;
	}
	epoll_ctl(poll, EPOLL_CTL_DEL, client->socket, NULL);
	close(client->socket);
	free(client);
}

static void welcome(int poll, int listener)
{
	static const char greeting[] = "220 sink.test ESMTP\r\n";
	int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	struct client *client = socket < 0 ? NULL : calloc(1, sizeof(*client));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
	int on = 1;

	if (client == NULL)
		return;
	client->socket = socket;
	setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (send(socket, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL) < 0 ||
	    epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event) != 0) {
		close(socket);
		free(client);
	}
}

static int listen_on(const char *address, unsigned port)
{
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (inet_pton(AF_INET, address, &place.sin_addr) != 1 ||
	    (ntohl(place.sin_addr.s_addr) >> 24) != 127 ||
	    bind(listener, (const struct sockaddr *)&place, sizeof(place)) != 0 ||
	    listen(listener, 4096) != 0) {
		fprintf(stderr, "sink: cannot listen on %s port %u: %s\n", address, port,
		        strerror(errno));
		exit(1);
	}
	return listener;
}

int main(int count, char **texts)
{
	const char *addresses[ADDRESSES_MAX];
	int listeners[ADDRESSES_MAX];
	struct epoll_event events[EVENTS];
	size_t address_count = 0;
	unsigned port = 0;
	int poll = epoll_create1(0);
	int option;

	while ((option = getopt(count, texts, "p:a:")) != -1) {
		if (option == 'p')
			port = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'a' && address_count < ADDRESSES_MAX)
			addresses[address_count++] = optarg;
		else
			return 2;
	}
	if (address_count == 0)
		addresses[address_count++] = "127.0.0.1";
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < address_count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listeners[i]};

		listeners[i] = listen_on(addresses[i], port);
		epoll_ctl(poll, EPOLL_CTL_ADD, listeners[i], &event);
	}
	for (;;) {
		int ready = epoll_wait(poll, events, EVENTS, -1);

		for (int i = 0; i < ready; i++) {
			int *listener = events[i].data.ptr;

			if (listener >= listeners && listener < listeners + address_count)
				welcome(poll, *listener);
			else
				serve(poll, events[i].data.ptr);
		}
	}
}
