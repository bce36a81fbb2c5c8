/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between the master and one worker: packets of text, each with at
 * most one descriptor. A packet is a word and its arguments, one a line.
 *
 * To a worker: reach read|write PATH, confine WAY, listener ADDRESS (with a descriptor), file PATH (with one), key PATH
 * (with one), prepare NUMBER, use NUMBER, abandon NUMBER, stop, result ID TEXT.
 * From a worker: ready NUMBER, replace NUMBER REASON, failed NUMBER TEXT; from the
 * control worker also ask ID reload, ask ID stop.
 */
#ifndef CORE_PROCESS_CHANNEL_H
#define CORE_PROCESS_CHANNEL_H

#include <postern/error.h>

enum { PN_PACKET_SIZE = 4096, PN_PACKET_WORDS = 4 };

struct pn_packet {
	char text[PN_PACKET_SIZE];
	const char *words[PN_PACKET_WORDS]; /* "" where there are fewer */
	int descriptor;                     /* or -1; the receiver's to close */
};

/* Blocking is not expected: PN_TIMEOUT: a peer that does not read for long is broken. PN_FAILED: it is
 * gone. */
PN_MUST_CHECK enum pn_status pn_channel_send(int channel, int descriptor, const char *format, ...)
	PN_PRINTF(3, 4);

/* One packet. PN_OK; PN_NOT_FOUND: none now; PN_FAILED: the other side is gone. */
PN_MUST_CHECK enum pn_status pn_channel_receive(int channel, struct pn_packet *packet);

#endif
