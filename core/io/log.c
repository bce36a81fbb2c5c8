/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events and the thread that writes them. Whoever sends an event never waits: it
 * is appended to a list; when the list is too long the event is counted instead,
 * and the loss is logged.
 */
#include "io/log.h"

#include <postern/buffer.h>
#include <postern/clock.h>
#include <postern/text.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GATHER_MS = 5 };

enum {
	MAX_EVENT_SIZE = 256 * 1024,
	USUAL_EVENT_SIZE = 1000,
	MAX_WAITING_BYTES = 64 * 1024 * 1024,
	MAX_IDS = 2
};

struct pn_event {
	enum pn_log_level level;
	struct pn_buffer json;
	uint64_t ids[MAX_IDS];
	size_t id_count;
	struct pn_event *next;
};

/* An append-only file with the bytes that wait for it. */
struct sink {
	int descriptor;
	struct pn_buffer waiting;
	bool is_torn; /* its last bytes are part of a line, whose rest the disk did not take */
};

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t thread;
	bool is_running;
	bool is_stopping;
	struct pn_event *first;
	struct pn_event **last;
	size_t waiting_bytes;
	uint64_t lost;
	uint64_t unwritten; /* bytes that a disk did not take; of the thread alone */
	enum pn_log_level level;
	bool has_history;
	char directory[512];
	char worker[32];
	struct sink log;
	struct sink history;
	struct sink index;
	uint64_t history_offset;
	int64_t history_hour;
} writer = {.mutex = PTHREAD_MUTEX_INITIALIZER,
            .changed = PTHREAD_COND_INITIALIZER,
            .level = PN_LOG_INFO};

static const char *const level_names[] = {"debug", "info", "notice", "warning", "error"};

uint64_t pn_history_hash(struct pn_slice id)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a: ids are ours and random */

	for (size_t i = 0; i < id.size; i++)
		hash = (hash ^ (uint8_t)id.data[i]) * 1099511628211u;
	return hash;
}

bool pn_log_wants(enum pn_log_level level)
{
	return level >= writer.level || (writer.has_history && level >= PN_LOG_INFO);
}

/* An event that does not fit any more loses its last fields, never its syntax: fields are
 * appended whole or not at all, and the closing brace has its room. */
static enum pn_status append_key(struct pn_event *event, const char *key)
{
	size_t size = strlen(key);
	enum pn_status status;
	char *room;

	status = pn_buffer_reserve(&event->json, size + 4, &room);
	if (status != PN_OK)
		return status;
	memcpy(room, ",\"", 2);
	memcpy(room + 2, key, size);
	memcpy(room + 2 + size, "\":", 2);
	event->json.size += size + 4;
	return PN_OK;
}

static void append_field(struct pn_event *event, const char *key, struct pn_slice json)
{
	size_t before = event->json.size;

	if (append_key(event, key) != PN_OK || pn_buffer_append(&event->json, json) != PN_OK)
		event->json.size = before;
}

/* Most events of a worker are of the same second as the one before. */
static const char *date_of(int64_t wall_ms)
{
	static _Thread_local char date[PN_DATE_SIZE];
	static _Thread_local int64_t second = -1;
	unsigned milliseconds = (unsigned)(wall_ms % 1000);
	char *dot;

	if (wall_ms < 0 || wall_ms / 1000 != second || (dot = strchr(date, '.')) == NULL) {
		second = wall_ms / 1000;
		return pn_date_rfc3339(wall_ms, date);
	}
	dot[1] = (char)('0' + milliseconds / 100);
	dot[2] = (char)('0' + milliseconds / 10 % 10);
	dot[3] = (char)('0' + milliseconds % 10);
	return date;
}

struct pn_event *pn_event_new(enum pn_log_level level, const char *what)
{
	struct pn_event *event = calloc(1, sizeof(*event));
	char *room;

	if (event == NULL)
		abort();
	event->level = level;
	pn_buffer_init(&event->json, MAX_EVENT_SIZE);
	(void)!pn_buffer_reserve(&event->json, USUAL_EVENT_SIZE, &room);
	(void)!pn_buffer_print(&event->json, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"",
	                       date_of(pn_clock_wall_ms()), level_names[level], what);
	if (writer.worker[0] != '\0')
		(void)!pn_buffer_print(&event->json, ",\"worker\":\"%s\"", writer.worker);
	return event;
}

void pn_event_text(struct pn_event *event, const char *key, struct pn_slice text)
{
	size_t before = event->json.size;

	if (append_key(event, key) != PN_OK || pn_json_append_string(&event->json, text) != PN_OK)
		event->json.size = before;
}

void pn_event_number(struct pn_event *event, const char *key, int64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	append_field(event, key, pn_slice_of(text));
}

void pn_event_bool(struct pn_event *event, const char *key, bool value)
{
	append_field(event, key, value ? PN_SLICE("true") : PN_SLICE("false"));
}

void pn_event_json(struct pn_event *event, const char *key, struct pn_slice json)
{
	append_field(event, key, json);
}

void pn_event_id(struct pn_event *event, const char *key, const char *id)
{
	pn_event_text(event, key, pn_slice_of(id));
	if (event->id_count < MAX_IDS)
		event->ids[event->id_count++] = pn_history_hash(pn_slice_of(id));
}

static void free_event(struct pn_event *event)
{
	pn_buffer_clear(&event->json);
	free(event);
}

void pn_event_send(struct pn_event **event_pointer)
{
	struct pn_event *event = *event_pointer;

	*event_pointer = NULL;
	if (pn_buffer_append(&event->json, PN_SLICE("}\n")) != PN_OK ||
	    !pn_log_wants(event->level)) {
		free_event(event);
		return;
	}
	pthread_mutex_lock(&writer.mutex);
	if (!writer.is_running) {
		pthread_mutex_unlock(&writer.mutex);
		if (event->level >= writer.level)
			(void)!write(STDERR_FILENO, event->json.data, event->json.size);
		free_event(event);
		return;
	}
	if (writer.waiting_bytes + event->json.size > MAX_WAITING_BYTES) {
		writer.lost++;
		pthread_mutex_unlock(&writer.mutex);
		free_event(event);
		return;
	}
	if (writer.first == NULL)
		pthread_cond_signal(&writer.changed);
	writer.waiting_bytes += event->json.size;
	event->next = NULL;
	*writer.last = event;
	writer.last = &event->next;
	pthread_mutex_unlock(&writer.mutex);
}

void pn_log(enum pn_log_level level, const char *what, const char *format, ...)
{
	struct pn_event *event;
	char text[1024];
	va_list arguments;

	if (!pn_log_wants(level))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	event = pn_event_new(level, what);
	pn_event_text(event, "text", pn_slice_of(text));
	pn_event_send(&event);
}

static void write_sink(struct sink *sink)
{
	size_t done = 0;

	if (sink->waiting.size == 0)
		return;

	while (sink->descriptor >= 0 && done < sink->waiting.size) {
		ssize_t result = write(sink->descriptor, sink->waiting.data + done,
		                       sink->waiting.size - done);

		if (result < 0 && errno == EINTR)
			continue;
		if (result <= 0)
			break; /* a full disk must not stop the mail; the log says less */
		done += (size_t)result;
	}
	if (done > 0)
		sink->is_torn = done < sink->waiting.size;
	if (done < sink->waiting.size)
		writer.unwritten += sink->waiting.size - done;
	sink->waiting.size = 0;
}

/* A line that was cut off gets its end, so that the next one is a line of its own. */
static void mend(struct sink *sink)
{
	if (sink->is_torn)
		(void)!pn_buffer_append(&sink->waiting, PN_SLICE("\n"));
}

/* Entries of the index stand at multiples of their size; a zero hash is nobody's. */
static void mend_index(struct sink *sink)
{
	static const struct pn_history_index_entry nobody;
	struct stat status;
	size_t surplus;

	if (!sink->is_torn || fstat(sink->descriptor, &status) != 0)
		return;
	surplus = (size_t)((uint64_t)status.st_size % sizeof(nobody));
	sink->is_torn = false;
	if (surplus > 0)
		(void)!pn_buffer_append(&sink->waiting, pn_slice_make((const char *)&nobody,
		                                                      sizeof(nobody) - surplus));
}

/* Where the next event will stand: asked of the file, because a full disk takes parts of what was
 * written before, and because a worker that is being replaced writes to the same file. */
static void find_history_offset(void)
{
	struct stat status;

	if (writer.history.descriptor < 0 || fstat(writer.history.descriptor, &status) != 0)
		return;
	writer.history_offset = (uint64_t)status.st_size + writer.history.waiting.size;
}

/* A file of the history, which a worker that was killed may have left with half a line. */
static void open_history(struct sink *sink, const char *path)
{
	struct stat status;
	char last = '\n';

	sink->descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	sink->is_torn =
		sink->descriptor >= 0 && fstat(sink->descriptor, &status) == 0 &&
		status.st_size > 0 &&
		(pread(sink->descriptor, &last, 1, status.st_size - 1) != 1 || last != '\n');
}

static int open_append(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

static void history_path(char *room, size_t size, const struct tm *date, const char *ending)
{
	snprintf(room, size, "%s/%04d%02d%02d%02d-%s.%s", writer.directory, date->tm_year + 1900,
	         date->tm_mon + 1, date->tm_mday, date->tm_hour, writer.worker, ending);
}

/* One file for each worker and hour; the index beside it. */
static void turn_history(int64_t now_ms)
{
	char path[640];
	struct tm date;
	time_t seconds = (time_t)(now_ms / 1000);
	int64_t hour = now_ms / 3600000;

	if (!writer.has_history || hour == writer.history_hour)
		return;
	write_sink(&writer.history);
	write_sink(&writer.index);
	if (writer.history.descriptor >= 0)
		close(writer.history.descriptor);
	if (writer.index.descriptor >= 0)
		close(writer.index.descriptor);
	gmtime_r(&seconds, &date);
	history_path(path, sizeof(path), &date, "jsonl");
	open_history(&writer.history, path);
	history_path(path, sizeof(path), &date, "index");
	open_history(&writer.index, path);
	writer.index.is_torn = true; /* its end is looked at */
	writer.history_hour = hour;
}

static void add_to_history(const struct pn_event *event)
{
	for (size_t i = 0; i < event->id_count; i++) {
		struct pn_history_index_entry entry = {event->ids[i], writer.history_offset};

		(void)!pn_buffer_append(&writer.index.waiting,
		                        pn_slice_make((const char *)&entry, sizeof(entry)));
	}
	if (pn_buffer_append(&writer.history.waiting, pn_buffer_slice(&event->json)) == PN_OK)
		writer.history_offset += event->json.size;
}

static void write_events(struct pn_event *event)
{
	turn_history(pn_clock_wall_ms());
	mend(&writer.history);
	mend(&writer.log);
	mend_index(&writer.index);
	find_history_offset();
	while (event != NULL) {
		struct pn_event *next = event->next;

		if (event->level >= writer.level)
			(void)!pn_buffer_append(&writer.log.waiting, pn_buffer_slice(&event->json));
		if (writer.has_history && event->level >= PN_LOG_INFO)
			add_to_history(event);
		free_event(event);
		event = next;
	}
	write_sink(&writer.history);
	write_sink(&writer.index);
	write_sink(&writer.log);
}

/* A moment for what follows: under load one write then takes hundreds of events, and whoever sends
 * them does not wake this thread each time. With the mutex; a stop ends it at once. */
static void gather(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += GATHER_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	while (!writer.is_stopping &&
	       pthread_cond_clockwait(&writer.changed, &writer.mutex, CLOCK_MONOTONIC, &until) == 0)
		continue;
}

static void *run_writer(void *unused)
{
	uint64_t missing = 0; /* to be told when the disk takes something again */

	(void)unused;
	pthread_setname_np(pthread_self(), "log");
	pthread_mutex_lock(&writer.mutex);
	while (!writer.is_stopping || writer.first != NULL) {
		struct pn_event *event;
		uint64_t lost;

		if (writer.first == NULL) {
			pthread_cond_wait(&writer.changed, &writer.mutex);
			continue;
		}
		gather();
		event = writer.first;
		lost = writer.lost;
		writer.first = NULL;
		writer.last = &writer.first;
		writer.waiting_bytes = 0;
		writer.lost = 0;
		pthread_mutex_unlock(&writer.mutex);
		write_events(event);
		if (writer.unwritten == 0 && missing > 0) {
			pn_log(PN_LOG_ERROR, "log",
			       "%llu bytes of log and history were lost: the disk was full or "
			       "failed",
			       (unsigned long long)missing);
			missing = 0;
		}
		missing += writer.unwritten;
		writer.unwritten = 0;
		if (lost > 0)
			pn_log(PN_LOG_ERROR, "log", "%llu events were lost: the disk is too slow",
			       (unsigned long long)lost);
		pthread_mutex_lock(&writer.mutex);
	}
	pthread_mutex_unlock(&writer.mutex);
	return NULL;
}

void pn_log_set_level(enum pn_log_level level)
{
	writer.level = level;
}

static void init_sink(struct sink *sink)
{
	sink->descriptor = -1;
	pn_buffer_init(&sink->waiting, 2 * (size_t)MAX_WAITING_BYTES);
}

enum pn_status pn_log_start(const struct pn_log_settings *settings, struct pn_error *error)
{
	sigset_t all;
	sigset_t before;
	int result;

	init_sink(&writer.log);
	init_sink(&writer.history);
	init_sink(&writer.index);
	writer.level = settings->level;
	writer.last = &writer.first;
	writer.history_hour = -1;
	snprintf(writer.worker, sizeof(writer.worker), "%s", settings->worker);
	writer.log.descriptor = STDERR_FILENO;
	if (settings->log_file[0] != '\0') {
		writer.log.descriptor = open_append(settings->log_file);
		if (writer.log.descriptor < 0)
			return pn_fail_errno(error, errno, "cannot write the log file %s",
			                     settings->log_file);
	}
	if (settings->history_directory != NULL) {
		snprintf(writer.directory, sizeof(writer.directory), "%s",
		         settings->history_directory);
		if (mkdir(writer.directory, 0750) != 0 && errno != EEXIST)
			return pn_fail_errno(error, errno, "cannot make the directory %s",
			                     writer.directory);
		writer.has_history = true;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	result = pthread_create(&writer.thread, NULL, run_writer, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return pn_fail_errno(error, result, "cannot start the log thread");
	writer.is_running = true;
	return PN_OK;
}

static void close_sink(struct sink *sink)
{
	if (sink->descriptor > STDERR_FILENO)
		close(sink->descriptor);
	sink->descriptor = -1;
	pn_buffer_clear(&sink->waiting);
}

void pn_log_stop(void)
{
	pthread_mutex_lock(&writer.mutex);
	if (!writer.is_running) {
		pthread_mutex_unlock(&writer.mutex);
		return;
	}
	writer.is_stopping = true;
	pthread_cond_signal(&writer.changed);
	pthread_mutex_unlock(&writer.mutex);
	pthread_join(writer.thread, NULL);
	writer.is_running = false;
	close_sink(&writer.log);
	close_sink(&writer.history);
	close_sink(&writer.index);
}
