/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server of SMTP must do, command by command: written from RFC 5321, 3030, 3207, 4954, 2033 and
 * from what hooks may say, without a look at the module. It says of each command which classes its
 * replies may have, and whether a message is taken, for whom.
 */
#ifndef TESTS_UNIT_STATES_MODEL_H
#define TESTS_UNIT_STATES_MODEL_H

#include <postern/stage.h>

#include <stdbool.h>
#include <stddef.h>

enum { RECIPIENTS_MAX = 10, /* of one message */ REPLIES_MAX = RECIPIENTS_MAX + 3 };

enum profile { PROFILE_MX = 0, PROFILE_SUBMISSION, PROFILE_LMTP };

enum verb {
	VERB_EHLO = 0, /* LHLO in LMTP */
	VERB_HELO,
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA, /* with the message behind it, where it is asked for */
	VERB_BDAT, /* its bytes follow whatever is said */
	VERB_BDAT_LAST,
	VERB_RSET,
	VERB_NOOP,
	VERB_VRFY,
	VERB_AUTH,
	VERB_STARTTLS,
	VERB_QUIT,
	VERBS,
};

/* A command, and what goes wrong while it is worked on. */
struct letter {
	const char *name;
	enum verb verb;
	bool is_plain;         /* nothing goes wrong */
	bool has_wishes;       /* MAIL: BODY=BINARYMIME SMTPUTF8 PRDR; RCPT: an address in UTF-8 */
	bool has_bare_lf;      /* in the message */
	bool is_full;          /* the first recipient's mailbox, as the commit finds out */
	bool is_first_only;    /* hooks say it of the first recipient */
	enum pn_stage stage;   /* a hook of it says … */
	enum pn_verdict verdict;
};

extern const struct letter letters[];
extern const size_t letter_count;

struct model {
	enum profile profile;
	bool is_closed;
	bool is_encrypted;
	bool is_known;
	enum { GREETED_NOT = 0, GREETED_HELO, GREETED_EHLO } greeted;

	/* The transaction: nothing of it outlives it. */
	struct {
		bool has_sender;
		unsigned sender; /* the place of its MAIL among the commands */
		bool is_utf8;
		bool is_binary;
		bool is_prdr;
		unsigned recipients[RECIPIENTS_MAX]; /* the places of their RCPT */
		bool is_disposed[RECIPIENTS_MAX];    /* taken, and thrown away */
		size_t count;
		bool is_discarded; /* all of it */
		bool in_chunks;
		unsigned serial;         /* the place of its first chunk */
		enum pn_verdict judged;  /* of its header, when the chunk with it came */
	} now;
};

struct expectation {
	const char *replies[REPLIES_MAX]; /* the first digits that each of them may have */
	size_t count;
	bool closes;
	bool takes;          /* a message, if the last reply is a yes … */
	unsigned serial;     /* that one, */
	unsigned sender;     /* from him, */
	unsigned recipients[RECIPIENTS_MAX]; /* for those */
	size_t recipient_count;
};

void model_begin(struct model *model, enum profile profile);

/* What must come of a command at that place. */
void model_expect(const struct model *model, const struct letter *letter, unsigned place,
                  struct expectation *expectation_out);

/* It came; `is_yes`: its (first) reply was of class 2 or 3. */
void model_move(struct model *model, const struct letter *letter, unsigned place, bool is_yes);

#endif
