/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that the tables of deliver_smtp and deliver_lmtp have in common. */
#ifndef MODULES_DELIVER_OPTIONS_H
#define MODULES_DELIVER_OPTIONS_H

#include "deliver.h"

static const char *const deliver_eight_bit_choices[] = {"send", "refuse", NULL};
static const char *const deliver_chunking_choices[] = {"needed", "offered", NULL};
static const char *const deliver_plaintext_choices[] = {"no", "loopback", "yes", NULL};

#define DELIVER_TIMEOUT(field, default_value, text)                                                \
	PN_OPTION_DURATION(struct deliver_config, field, default_value, .minimum_text = "50ms",    \
			   .maximum_text = "1h", .flags = PN_OPTION_RELOADABLE, .summary = text)

#define DELIVER_OPTIONS                                                                            \
	PN_OPTION_BOOL(struct deliver_config, implicit_tls, "no", .flags = PN_OPTION_RELOADABLE,   \
		       .summary = "TLS before the first byte (port 465), in place of STARTTLS."),  \
	PN_OPTION_PATH(struct deliver_config, trusted_certificates, NULL,                           \
		       .flags = PN_OPTION_RELOADABLE,                                              \
		       .summary = "File of certificates, in PEM form, that verified servers must " \
				  "lead to; empty: those of the system."),                         \
	PN_OPTION_STRING(struct deliver_config, hello, "", .flags = PN_OPTION_RELOADABLE,          \
			 .summary = "Name given in the hello; empty: the gateway's hostname."),    \
	PN_OPTION_LIST(struct deliver_config, source_addresses, NULL,                              \
		       .flags = PN_OPTION_RELOADABLE,                                              \
		       .summary = "Addresses to connect from, in turn; routes come before "        \
				  "them. Empty: the machine's choice."),                           \
	PN_OPTION_COUNT(struct deliver_config, max_recipients, "100", .minimum_text = "1",         \
			.maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,                     \
			.summary = "Most recipients of one transaction."),                         \
	PN_OPTION_CHOICE(struct deliver_config, eight_bit, "send",                                 \
			 .choices = deliver_eight_bit_choices, .flags = PN_OPTION_RELOADABLE,      \
			 .summary = "What becomes of 8-bit messages for servers without "          \
				    "8BITMIME: sent as they are, or refused."),                    \
	PN_OPTION_CHOICE(struct deliver_config, chunking, "needed",                                \
			 .choices = deliver_chunking_choices, .flags = PN_OPTION_RELOADABLE,       \
			 .summary = "When BDAT is used with servers that offer CHUNKING: for "     \
				    "binary messages, or for all."),                               \
	PN_OPTION_PATH(struct deliver_config, credentials, NULL, .flags = PN_OPTION_RELOADABLE,      \
		       .summary = "File with lines HOST USER PASSWORD to log in with; read at "    \
				  "start and at each reload. Empty: nobody logs in."),             \
	PN_OPTION_CHOICE(struct deliver_config, plaintext_login, "no",                             \
			 .choices = deliver_plaintext_choices, .flags = PN_OPTION_RELOADABLE,      \
			 .summary = "Whether passwords may be sent without TLS."),                 \
	DELIVER_TIMEOUT(connect_timeout, "30s", "Longest wait for a connection."),                 \
	DELIVER_TIMEOUT(greeting_timeout, "5m", "Longest wait for the greeting."),                 \
	DELIVER_TIMEOUT(hello_timeout, "5m",                                                       \
			"Longest wait for the answer to the hello, STARTTLS or AUTH."),            \
	DELIVER_TIMEOUT(mail_timeout, "5m", "Longest wait for the answer to MAIL."),               \
	DELIVER_TIMEOUT(rcpt_timeout, "5m", "Longest wait for the answer to RCPT."),               \
	DELIVER_TIMEOUT(data_start_timeout, "2m", "Longest wait for the answer to DATA."),         \
	DELIVER_TIMEOUT(data_block_timeout, "3m",                                                  \
			"Longest wait until the server takes more of the message."),               \
	DELIVER_TIMEOUT(data_end_timeout, "10m",                                                   \
			"Longest wait for the answer to the end of the message."),                 \
	DELIVER_TIMEOUT(quit_timeout, "10s", "Longest wait for the answer to QUIT.")

#endif
