/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version of the interface between the gateway and its modules, and what
 * changed in it. Every public header includes this one.
 *
 * MINOR grows when something is added: older modules go on loading.
 * MAJOR grows when something is removed or changed in a way an already compiled
 * module would notice: such modules must be rebuilt.
 *
 * Before the first release MAJOR is 0 and every change is logged all the same.
 *
 * Change log
 *   0.1  2026-11-21  First interface: options, hooks, protocols, stores,
 *                    directories, authentication, transports, checks, caches,
 *                    Lua libraries, jobs, tickets.
 *   0.2  2026-11-22  mime.h, source.h, mailbox_name.h, link.h. store.h: many bodies
 *                    at once, body_ready, PN_MUTATION_RECENT, recent_uid,
 *                    PN_MUTATION_UIDS, known_modseq. transaction.h: deposits.
 *   0.3  2026-11-22  route.h, delivery.h; transport.h made anew (nobody had used it).
 *                    transaction.h: expand, tenant, priority, release, lifetime,
 *                    sender. store.h: order of queue rows by destination, `on` and
 *                    unchanged_since with queue mutations. protocol.h: tls_server_name,
 *                    tls_trusted, unread. http.h. transport.h: set_address.
 *   0.4  2026-11-29  network.h, request.h with stage client.request. protocol.h: has_more,
 *                    has_input, set_early_talker, count_pipelining, set_peer, tls_names.
 *                    transaction.h: deliver_by, require_tls. transport.h: by, requires_tls,
 *                    deliver_by_passed_on. option.h: PN_OPTION_WRITES. session.h:
 *                    client_certificate, is_early_talker, unauthorised_pipelining.
 *   0.5  2026-11-29  authentication.h: offers, token, verifiers of SCRAM; `verify` may be NULL.
 *                    sasl.h: terms, names of mechanisms, PN_SASL_NEEDS_TLS; what
 *                    pn_sasl_mechanisms() says is of its session. signature.h.
 *   0.6  2026-11-30  protocol.h: turn_away, delay. check.h: pn_check_start() and what checks look
 *                    their input up with; digests of bodies; wants, sign. signature.h:
 *                    RSA keys in DER, private keys.
 *   0.7  2026-11-30  check.h: pn_check_prepare, pn_check_run. transaction.h: received_header,
 *                    set_results, next_fact, authentication_results, want_digest, digest.
 *                    lualib.h: pn_lua_call. address.h: pn_domain_to_ascii.
 *                    stage.h: message.change may defer. signature.h: new keys, written.
 */
#ifndef POSTERN_ABI_H
#define POSTERN_ABI_H

#include <stdint.h>

#define PN_ABI_MAJOR 0
#define PN_ABI_MINOR 7

#define PN_MUST_CHECK __attribute__((warn_unused_result))
#define PN_PRINTF(format_index, first_argument)                                                    \
	__attribute__((format(printf, format_index, first_argument)))
#define PN_NORETURN __attribute__((noreturn))
#define PN_EXPORT __attribute__((visibility("default")))

/* What stands between these two is exported by the gateway for its modules. */
#ifdef __cplusplus
#define PN_DECLARATIONS_BEGIN _Pragma("GCC visibility push(default)") extern "C" {
#define PN_DECLARATIONS_END                                                                        \
	}                                                                                          \
	_Pragma("GCC visibility pop")
#else
#define PN_DECLARATIONS_BEGIN _Pragma("GCC visibility push(default)")
#define PN_DECLARATIONS_END _Pragma("GCC visibility pop")
#endif

/*
 * The ELF note in every module (section ".note.postern", owner "Postern", type
 * PN_NOTE_TYPE). The gateway reads it from the file before the file is loaded,
 * because constructors run inside dlopen(), before any other check could.
 */
#define PN_NOTE_OWNER "Postern"
#define PN_NOTE_TYPE 1
#define PN_NOTE_NAME_SIZE 32

struct pn_note {
	uint32_t owner_size;
	uint32_t description_size;
	uint32_t type;
	char owner[8];
	uint32_t abi_major;
	uint32_t abi_minor;
	uint32_t struct_size; /* of struct pn_module, as compiled */
	char name[PN_NOTE_NAME_SIZE];
};

#endif
