/* SPDX-License-Identifier: Apache-2.0 */
/* Packets between master and workers. */
#include "process/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { SEND_WAIT_MS = 2000 };

union control_room {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr aligned;
};

enum pn_status pn_channel_send(int channel, int descriptor, const char *format, ...)
{
	char text[PN_PACKET_SIZE];
	union control_room control;
	struct iovec piece = {.iov_base = text};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (size < 0)
		return PN_FAILED;
	piece.iov_len = (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1;
	if (descriptor >= 0) {
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
	}
	for (;;) {
		struct pollfd wait = {.fd = channel, .events = POLLOUT};

		if (sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return PN_OK;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return PN_FAILED;
		if (poll(&wait, 1, SEND_WAIT_MS) <= 0)
			return PN_TIMEOUT;
	}
}

enum pn_status pn_channel_receive(int channel, struct pn_packet *packet)
{
	union control_room control;
	struct iovec piece = {.iov_base = packet->text, .iov_len = sizeof(packet->text) - 1};
	struct msghdr message = {.msg_iov = &piece,
	                         .msg_iovlen = 1,
	                         .msg_control = control.bytes,
	                         /* Not all of the room: a second descriptor would fit into its
	                          * padding, and be nobody's. */
	                         .msg_controllen = CMSG_LEN(sizeof(int))};
	struct cmsghdr *header;
	char *rest = packet->text;
	ssize_t size;

	packet->descriptor = -1;
	do
		size = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (size < 0 && errno == EAGAIN)
		return PN_NOT_FOUND;
	if (size <= 0)
		return PN_FAILED;
	packet->text[size] = '\0';
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&packet->descriptor, CMSG_DATA(header), sizeof(int));
	for (size_t i = 0; i < PN_PACKET_WORDS; i++) {
		/* The last word takes the rest: sentences may have line breaks. */
		char *word = i + 1 < PN_PACKET_WORDS ? strsep(&rest, "\n") : rest;

		packet->words[i] = word == NULL ? "" : word;
	}
	return PN_OK;
}
