/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processes of the gateway say to each other: packets with any bytes and any
 * descriptors, and the flat result of a check. Words lie in their packet, a descriptor
 * that was not handed over is closed, and a list that was not finished is refused.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../core/process/channel.c"
#include "../../core/process/flat.c"

enum { DESCRIPTORS_MAX = 4 };

/* Of what writes the list; nobody does here. */
void pn_assembly_reach(const struct pn_assembly *assembly, struct pn_reach *reach)
{
	(void)assembly, (void)reach;
}

void pn_reach_clear(struct pn_reach *reach)
{
	(void)reach;
}

static int ends[2] = {-1, -1};
static int nothing = -1;

static void send_packet(struct pn_slice text, size_t descriptors)
{
	union {
		char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
		struct cmsghdr aligned;
	} room;
	struct iovec piece = {.iov_base = (void *)(uintptr_t)text.data, .iov_len = text.size};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	int numbers[DESCRIPTORS_MAX] = {nothing, nothing, nothing, nothing};

	if (descriptors > 0) {
		struct cmsghdr *header;

		memset(&room, 0, sizeof(room));
		message.msg_control = room.bytes;
		message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
		memcpy(CMSG_DATA(header), numbers, descriptors * sizeof(int));
	}
	require(sendmsg(ends[0], &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)text.size);
}

/* The number that the next one would get. */
static int next_descriptor(void)
{
	int number = dup(nothing);

	require(number >= 0);
	close(number);
	return number;
}

static void check_packet(struct pn_slice text, size_t descriptors)
{
	int before = next_descriptor();
	struct pn_packet *packet = malloc(sizeof(*packet));

	require(packet != NULL);
	memset(packet, 'x', sizeof(*packet));
	send_packet(text, descriptors);
	require(pn_channel_receive(ends[1], packet) == PN_OK);
	for (size_t i = 0; i < PN_PACKET_WORDS; i++) {
		const char *word = packet->words[i];

		require(word[0] == '\0' ||
		        (word >= packet->text && word < packet->text + text.size));
		require(strlen(word) <= text.size);
		require(i + 1 == PN_PACKET_WORDS || strchr(word, '\n') == NULL);
	}
	require((packet->descriptor >= 0) == (descriptors > 0));
	/* There is this one, and no other. */
	require(next_descriptor() == before + (packet->descriptor >= 0));
	if (packet->descriptor >= 0)
		close(packet->descriptor);
	free(packet);
}

static void check_flat(struct pn_slice text)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_flat flat;
	FILE *in = fmemopen((void *)(uintptr_t)text.data, text.size, "r");
	bool has_end = false;

	require(in != NULL);
	for (struct pn_slice rest = text; rest.size > 0;)
		has_end = pn_slice_equal(pn_slice_cut(&rest, '\n'), PN_SLICE("end")) || has_end;
	if (pn_flat_read(in, arena, &flat) == PN_OK) {
		require(flat.listeners.count <= PN_FLAT_MAX && flat.files.count <= PN_FLAT_MAX);
		require(flat.user != NULL && flat.digest != NULL && flat.control_socket != NULL);
	} else {
		require(!has_end);
	}
	fclose(in);
	pn_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned descriptors = take_byte(&data, &size) % (DESCRIPTORS_MAX + 2);
	struct pn_slice text = rest_of(data, size);

	if (nothing < 0) {
		nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
		require(nothing >= 0 &&
		        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	}
	if (size == 0)
		return 0;
	if (descriptors > DESCRIPTORS_MAX)
		check_flat(text);
	else if (size < PN_PACKET_SIZE)
		check_packet(text, descriptors);
	return 0;
}
