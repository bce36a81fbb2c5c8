/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of threads: see faults.h. */
#include "process/faults.h"

#include "io/job.h"
#include "process/worker.h"
#include "session/running.h"

#include <signal.h>
#include <unistd.h>

/* A sanitizer has handlers of its own, which say what the fault was and end with abort(). */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

static const int faults[] = {
	SIGABRT,
#ifndef HAS_SANITIZER
	SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS,
#endif
};

static _Thread_local bool is_loop_thread;
static _Thread_local const struct pn_running_note *at_work;

static void *take_note(void)
{
	return pn_running_note();
}

static void begins(void *note)
{
	at_work = note;
}

static void ended(void)
{
	at_work = NULL;
}

static void telling(void *note)
{
	pn_running_resume(note);
}

static void told(void *note)
{
	if (note != NULL)
		pn_running_leave();
	pn_running_note_free(note);
}

/*
 * On the thread that made the fault. A signal that somebody sent is about the process, and as a
 * rule about what its loop is at. The handler is gone already: the fault happens again, and ends us
 * as it would have.
 */
static void fault(int number, siginfo_t *info, void *context)
{
	const bool is_own =
		info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == getpid());

	(void)context;
	if (is_own && !is_loop_thread) {
		/* The loop goes on for a moment, and writes what it runs: so this has a place of
		 * its own. */
		if (at_work != NULL)
			pn_worker.slot->fault = *pn_running_note_slot(at_work);
		atomic_store_explicit(&pn_worker.slot->has_fault, 1, memory_order_release);
	}
	/* A fault happens again; what was sent, or is no instruction's fault, does not. */
	if (info->si_code <= 0 || number == SIGSYS)
		raise(number);
}

void pn_faults_start(void)
{
	struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_RESETHAND};

	is_loop_thread = true;
	pn_job_witness = (struct pn_job_witness){take_note, begins, ended, telling, told};
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigaction(faults[i], &action, NULL);
}
