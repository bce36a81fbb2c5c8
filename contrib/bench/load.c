/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: sends mail over SMTP, as much as it is told to and not more, from one thread,
 * and prints what it saw as one line of JSON. Each session sends some messages and
 * leaves; as soon as it has left, the next one begins. Loopback addresses only.
 *
 *	load -p PORT [-a ADDRESS] [-c SESSIONS] [-m MESSAGES EACH] [-n MESSAGES IN ALL]
 *	     [-s BYTES] [-r RECIPIENTS] [-u ACCOUNTS] [-D DOMAIN] [-d SECONDS] [-P] [-B MS]
 *
 * -B: sessions that are turned away or break come again after so long, and end nothing.
 * -P sends MAIL, RCPT and DATA together (pipelining). Recipients are user1 … userACCOUNTS, in
 * turn. A latency is the time from the first byte of MAIL to the end of the reply to the message.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { COMMANDS_SIZE = 32768, REPLY_SIZE = 4096, EVENTS = 256, RECIPIENTS_MAX = 100 };

enum step {
	STEP_BANNER = 0,
	STEP_HELLO,
	STEP_SENDER,
	STEP_RECIPIENT,
	STEP_DATA,
	STEP_BODY,
	STEP_QUIT
};

static struct {
	struct sockaddr_in address;
	unsigned sessions, messages_each, recipients, accounts, seconds, rest_ms;
	unsigned long messages;
	size_t size;
	const char *domain;
	bool pipelines;
} wanted = {.sessions = 10,
            .messages_each = 10,
            .recipients = 1,
            .accounts = 100,
            .seconds = 60,
            .messages = 1000,
            .size = 4096,
            .domain = "example.test"};

static struct {
	unsigned long given_out, accepted, refused, broken;
	double *latencies;
	unsigned open, resting;
	char first_problem[200];
} seen;

struct session {
	int descriptor;
	enum step step;
	unsigned left;            /* messages that this session still sends */
	unsigned recipients_left; /* replies to RCPT that are still to come */
	double began;
	double rests_until; /* 0: it does not */
	bool is_refused;
	char commands[COMMANDS_SIZE];
	size_t commands_size, commands_sent;
	size_t body_sent;
	bool sends_body;
	char reply[REPLY_SIZE];
	size_t reply_size;
	uint32_t watched;
};

static char *body;
static size_t body_size;
static int poller;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void note_problem(const char *what)
{
	size_t size = 0;

	if (seen.first_problem[0] != '\0')
		return;
	for (; *what != '\0' && size < sizeof(seen.first_problem) - 1; what++) {
		if (*what >= ' ' && *what < 127 && *what != '"' && *what != '\\')
			seen.first_problem[size++] = *what;
	}
}

/* A header, and lines of 72 letters up to the size. */
static void make_body(void)
{
	static const char header[] =
		"From: Load <load@client.test>\r\nTo: somebody@example.test\r\n"
		"Subject: load\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
		"Message-Id: <load@client.test>\r\n\r\n";
	size_t column = 0;

	body = malloc(wanted.size + sizeof(header) + 16);
	if (body == NULL)
		die("malloc");
	memcpy(body, header, sizeof(header) - 1);
	body_size = sizeof(header) - 1;
	while (body_size + 2 < wanted.size) {
		if (column++ == 72) {
			memcpy(body + body_size, "\r\n", 2);
			body_size += 2;
			column = 0;
		} else {
			body[body_size++] = (char)('a' + column % 26);
		}
	}
	memcpy(body + body_size, "\r\n.\r\n", 5);
	body_size += 5;
}

static void say(struct session *session, const char *text)
{
	size_t size = strlen(text);

	if (session->commands_size + size > COMMANDS_SIZE)
		die("too many commands");
	memcpy(session->commands + session->commands_size, text, size);
	session->commands_size += size;
}

static void watch(struct session *session)
{
	bool writes = session->sends_body || session->commands_sent < session->commands_size;
	struct epoll_event event = {.events = EPOLLIN | (writes ? EPOLLOUT : 0u),
	                            .data.ptr = session};

	if (event.events == session->watched)
		return;
	session->watched = event.events;
	if (epoll_ctl(poller, EPOLL_CTL_MOD, session->descriptor, &event) != 0)
		die("epoll_ctl");
}

static void start(struct session *session);

/* The session is over; another takes its place while there is something to send. */
static void end(struct session *session, const char *problem)
{
	if (problem != NULL) {
		seen.broken++;
		note_problem(problem);
	}
	close(session->descriptor);
	session->descriptor = -1;
	seen.open--;
	if (problem != NULL && wanted.rest_ms > 0) {
		session->rests_until = now() + wanted.rest_ms / 1000.0;
		seen.resting++;
		return;
	}
	if (seen.given_out < wanted.messages &&
	    (wanted.rest_ms > 0 || seen.broken < wanted.sessions * 2 + 100))
		start(session);
}

static void start(struct session *session)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = session};
	const int on = 1;

	memset(session, 0, sizeof(*session));
	session->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (session->descriptor < 0)
		die("socket");
	setsockopt(session->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	session->watched = event.events;
	session->left = wanted.messages_each;
	seen.open++;
	if (connect(session->descriptor, (struct sockaddr *)&wanted.address,
	            sizeof(wanted.address)) != 0 &&
	    errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(poller, EPOLL_CTL_ADD, session->descriptor, &event) != 0)
		die("epoll_ctl");
}

static void say_recipients(struct session *session)
{
	char line[300];

	for (unsigned i = 0; i < wanted.recipients; i++) {
		snprintf(line, sizeof(line), "RCPT TO:<user%lu@%.200s>\r\n",
		         (seen.given_out + i) % wanted.accounts + 1, wanted.domain);
		say(session, line);
	}
	session->recipients_left = wanted.recipients;
}

/* The next message, or QUIT. */
static void begin_message(struct session *session)
{
	session->is_refused = false;
	if (session->left == 0 || seen.given_out >= wanted.messages) {
		session->step = STEP_QUIT;
		say(session, "QUIT\r\n");
		return;
	}
	session->left--;
	seen.given_out++;
	session->began = now();
	session->step = STEP_SENDER;
	say(session, "MAIL FROM:<load@client.test>\r\n");
	if (wanted.pipelines) {
		say_recipients(session);
		say(session, "DATA\r\n");
	}
}

static void end_message(struct session *session, bool is_good)
{
	if (is_good)
		seen.latencies[seen.accepted++] = now() - session->began;
	else
		seen.refused++;
	begin_message(session);
}

/* One whole reply. False where the session is over. */
static bool take_reply(struct session *session, const char *line)
{
	bool is_good = line[0] == '2' || line[0] == '3';

	if (!is_good) {
		note_problem(line);
		session->is_refused = true;
	}
	switch (session->step) {
	case STEP_BANNER:
		session->step = STEP_HELLO;
		say(session, "EHLO load.client.test\r\n");
		return is_good;
	case STEP_HELLO:
		begin_message(session);
		return is_good;
	case STEP_SENDER:
		session->step = STEP_RECIPIENT;
		if (!wanted.pipelines)
			say_recipients(session);
		return true;
	case STEP_RECIPIENT:
		if (--session->recipients_left > 0)
			return true;
		session->step = STEP_DATA;
		if (!wanted.pipelines)
			say(session, "DATA\r\n");
		return true;
	case STEP_DATA:
		if (!is_good) {
			end_message(session, false);
			return true;
		}
		session->step = STEP_BODY;
		session->sends_body = true;
		session->body_sent = 0;
		return true;
	case STEP_BODY:
		end_message(session, !session->is_refused);
		return true;
	case STEP_QUIT:
		return false;
	}
	return false;
}

/* False where the session is over. */
static bool read_replies(struct session *session, const char **problem)
{
	ssize_t size = recv(session->descriptor, session->reply + session->reply_size,
	                    REPLY_SIZE - 1 - session->reply_size, 0);
	char *line = session->reply;
	char *line_end;

	if (size < 0 && errno == EAGAIN)
		return true;
	if (size <= 0) {
		*problem = session->step == STEP_QUIT ? NULL : "the connection ended";
		return false;
	}
	session->reply_size += (size_t)size;
	session->reply[session->reply_size] = '\0';
	while ((line_end = strstr(line, "\r\n")) != NULL) {
		*line_end = '\0';
		if (line_end - line < 4 || line[3] != '-') {
			if (!take_reply(session, line)) {
				*problem = session->step == STEP_QUIT ? NULL : "refused";
				return false;
			}
		}
		line = line_end + 2;
	}
	session->reply_size = (size_t)(session->reply + session->reply_size - line);
	memmove(session->reply, line, session->reply_size);
	return session->reply_size < REPLY_SIZE - 1;
}

static bool write_all(struct session *session)
{
	ssize_t size;

	while (session->commands_sent < session->commands_size) {
		size = send(session->descriptor, session->commands + session->commands_sent,
		            session->commands_size - session->commands_sent, MSG_NOSIGNAL);
		if (size < 0)
			return errno == EAGAIN;
		session->commands_sent += (size_t)size;
	}
	session->commands_size = session->commands_sent = 0;
	while (session->sends_body) {
		size = send(session->descriptor, body + session->body_sent,
		            body_size - session->body_sent, MSG_NOSIGNAL);
		if (size < 0)
			return errno == EAGAIN;
		session->body_sent += (size_t)size;
		session->sends_body = session->body_sent < body_size;
	}
	return true;
}

static void take_event(struct session *session, uint32_t events)
{
	const char *problem = "the connection failed";

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_replies(session, &problem)) {
		end(session, problem);
		return;
	}
	/* What was just said goes out at once, not with the next event. */
	if (!write_all(session)) {
		end(session, "the connection failed");
		return;
	}
	watch(session);
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return a < b ? -1 : a > b;
}

static double percentile_ms(double part)
{
	size_t place = (size_t)(part * (double)seen.accepted);

	if (seen.accepted == 0)
		return 0;
	return 1000 * seen.latencies[place < seen.accepted ? place : seen.accepted - 1];
}

static void report(double seconds, bool is_late)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	qsort(seen.latencies, seen.accepted, sizeof(double), compare);
	printf("{\"accepted\":%lu,\"refused\":%lu,\"broken\":%lu,\"seconds\":%.4f,\"rate\":%.1f,"
	       "\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
	       "\"load_cpu_s\":%.3f,\"late\":%s,\"problem\":\"%s\"}\n",
	       seen.accepted, seen.refused, seen.broken, seconds, (double)seen.accepted / seconds,
	       percentile_ms(0.5), percentile_ms(0.9), percentile_ms(0.99), percentile_ms(1),
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
	       is_late ? "true" : "false", seen.first_problem);
}

static void read_arguments(int count, char **arguments)
{
	const char *address = "127.0.0.1";
	int port = 0;
	int letter;

	while ((letter = getopt(count, arguments, "p:a:c:m:n:s:r:u:D:d:PB:")) != -1) {
		unsigned long number = optarg == NULL ? 0 : strtoul(optarg, NULL, 10);

		switch (letter) {
		case 'p':
			port = (int)number;
			break;
		case 'a':
			address = optarg;
			break;
		case 'c':
			wanted.sessions = (unsigned)number;
			break;
		case 'm':
			wanted.messages_each = (unsigned)number;
			break;
		case 'n':
			wanted.messages = number;
			break;
		case 's':
			wanted.size = number;
			break;
		case 'r':
			wanted.recipients = (unsigned)number;
			break;
		case 'u':
			wanted.accounts = (unsigned)number;
			break;
		case 'D':
			wanted.domain = optarg;
			break;
		case 'd':
			wanted.seconds = (unsigned)number;
			break;
		case 'B':
			wanted.rest_ms = (unsigned)number;
			break;
		case 'P':
			wanted.pipelines = true;
			break;
		default:
			exit(2);
		}
	}
	wanted.address.sin_family = AF_INET;
	wanted.address.sin_port = htons((uint16_t)port);
	if (port <= 0 || port > 65535 || strncmp(address, "127.", 4) != 0 ||
	    inet_pton(AF_INET, address, &wanted.address.sin_addr) != 1 || wanted.sessions == 0 ||
	    wanted.messages_each == 0 || wanted.accounts == 0 || wanted.recipients == 0 ||
	    wanted.recipients > RECIPIENTS_MAX || wanted.messages == 0) {
		fputs("usage: load -p PORT …; only loopback, and nothing may be 0\n", stderr);
		exit(2);
	}
}

static void wake(struct session *sessions)
{
	static double last; /* looking at all of them takes time */
	double moment = now();

	if (moment < last + 0.01)
		return;
	last = moment;
	for (unsigned i = 0; i < wanted.sessions && seen.resting > 0; i++) {
		if (sessions[i].rests_until == 0 || sessions[i].rests_until > moment)
			continue;
		seen.resting--;
		start(&sessions[i]);
	}
}

int main(int count, char **arguments)
{
	struct session *sessions;
	double began, ends;

	read_arguments(count, arguments);
	make_body();
	poller = epoll_create1(EPOLL_CLOEXEC);
	sessions = calloc(wanted.sessions, sizeof(*sessions));
	seen.latencies = calloc(wanted.messages, sizeof(double));
	if (poller < 0 || sessions == NULL || seen.latencies == NULL)
		die("start");
	began = now();
	ends = began + wanted.seconds;
	for (unsigned i = 0; i < wanted.sessions; i++)
		start(&sessions[i]);
	while (seen.open + seen.resting > 0 && now() < ends) {
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(poller, events, EVENTS, seen.resting > 0 ? 5 : 100);

		for (int i = 0; i < ready; i++)
			take_event(events[i].data.ptr, events[i].events);
		wake(sessions);
	}
	report(now() - began, seen.open > 0);
	return seen.broken > 0 || seen.refused > 0 || seen.open > 0;
}
