/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server may say to an import: the source of source_imap against a server that
 * says these bytes, whatever it is asked. It ends, gives every message at most once,
 * and no name with a line end in it; where the bytes end the connection is broken, and
 * there is no other.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

/* Nobody waits for another attempt. */
#define sleep(seconds) ((void)(seconds))

#include "../../modules/source_imap/client.c"
#include "../../modules/source_imap/link.c"
#include "../../modules/source_imap/parse.c"
#include "../../modules/source_imap/source_imap.c"

enum { MOST_CALLS = 100000 };

static struct {
	const uint8_t *bytes;
	size_t size;
	unsigned opened;
} server;

enum pn_status pn_link_open(const char *host, uint16_t port, struct pn_link **link_out,
                            struct pn_error *error)
{
	(void)port;
	if (server.opened++ > 0)
		return pn_fail(error, "%s is gone", host);
	*link_out = (struct pn_link *)&server;
	return PN_OK;
}

enum pn_status pn_link_secure(struct pn_link *link, bool verify, struct pn_error *error)
{
	(void)link;
	(void)verify;
	(void)error;
	return PN_OK;
}

enum pn_status pn_link_write(struct pn_link *link, struct pn_slice bytes, struct pn_error *error)
{
	(void)link;
	(void)error;
	/* A command is one line. */
	for (size_t i = 0; i + 2 < bytes.size; i++)
		require(bytes.data[i] != '\n' && bytes.data[i] != '\r');
	return PN_OK;
}

enum pn_status pn_link_read(struct pn_link *link, char *room, size_t size, size_t *got_out,
                            struct pn_error *error)
{
	(void)link;
	if (server.size == 0)
		return pn_fail(error, "the connection ended");
	*got_out = server.size < size ? server.size : size;
	if (*got_out > 100)
		*got_out = 100;
	memcpy(room, server.bytes, *got_out);
	server.bytes += *got_out;
	server.size -= *got_out;
	return PN_OK;
}

void pn_link_close(struct pn_link **link)
{
	*link = NULL;
}

static void say(const char *text)
{
	require(strlen(text) < 4096);
}

static const char *password_file(void)
{
	static char path[64];
	int descriptor;

	if (path[0] != '\0')
		return path;
	descriptor = memfd_create("password", 0);
	require(descriptor >= 0 && write(descriptor, "secret\n", 7) == 7);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
	return path;
}

static void read_message(void *source, struct pn_buffer *bytes, unsigned *calls)
{
	bool is_last = false;
	struct pn_error error;

	while (!is_last && ++*calls < MOST_CALLS) {
		bytes->size = 0;
		if (remote_source.read(source, bytes, &is_last, &error) != PN_OK)
			return;
	}
}

static void take_all(void *source)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_buffer bytes;
	struct pn_error error;
	unsigned calls = 0;
	struct pn_source_mailbox mailbox = {.struct_size = sizeof(mailbox)};

	pn_buffer_init(&bytes, 65536);
	while (remote_source.next_mailbox(source, arena, &mailbox, &error) == PN_OK) {
		struct pn_source_message message = {.struct_size = sizeof(message)};
		uint32_t last = 0;

		require(memchr(mailbox.name.data, '\n', mailbox.name.size) == NULL);
		while (remote_source.next_message(source, arena, &message, &error) == PN_OK) {
			require(message.uid > last);
			last = message.uid;
			if (message.uid % 5 != 0)
				read_message(source, &bytes, &calls);
			require(++calls < MOST_CALLS);
		}
	}
	pn_buffer_clear(&bytes);
	pn_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const arguments[] = {"imap+plain://server.test", "user"};
	const struct pn_source_request request = {.struct_size = sizeof(request),
	                                          .arguments = arguments,
	                                          .argument_count = 2,
	                                          .password_file = password_file(),
	                                          .say = say};
	struct pn_error error;
	void *source = NULL;

	server.bytes = data;
	server.size = size;
	server.opened = 0;
	if (remote_source.open(&request, &source, &error) == PN_OK)
		take_all(source);
	if (source != NULL)
		remote_source.close(source);
	return 0;
}
