#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gateways with one planted fault each, which the model test must find.

    mutants.py [--jobs N] [--directory DIR] [NAME-PART …]

Copies the tree, plants a fault by replacing text in one file, builds out of tree, and runs run.py with
one seed after the other until it finds something. Prints "ok" for what was found, "not ok" for what was
not, or what cannot be planted any more because the source has changed. Minutes; not part of a short run.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SEEDS = 6
COMMANDS = 40000
TARGETS = ["postern", "imap", "pop3", "smtp", "auth_file", "store_local"]

# Name: (file, text, what stands there instead).
MUTANTS = {
    "expunge_is_told_during_fetch": (
        "modules/imap/fetch.c",
        "imap->hold_expunges = !imap->is_uid;",
        "imap->hold_expunges = false;"),
    "expunge_is_told_during_store": (
        "modules/imap/store.c",
        "imap->hold_expunges = !imap->is_uid;",
        "imap->hold_expunges = false;"),
    "expunged_numbers_are_those_before_the_others_went": (
        "modules/imap/sync.c",
        "uint32_t uid = imap_uids_at(&sync->gone, sync->left);",
        "uint32_t uid = imap_uids_at(&sync->gone, imap_uids_count(&sync->gone) - sync->left + 1);"),
    "an_expunge_is_told_twice": (
        "modules/imap/sync.c",
        "sync->gone = view->vanished;\n\tview->vanished = (struct imap_uids){0};",
        "imap_uids_add(&sync->gone, &view->vanished);"),
    "exists_is_not_told": (
        "modules/imap/sync.c",
        'imap_untagged(session, "%u EXISTS", imap_uids_count(&view->uids));',
        ""),
    "vanished_leaves_out_a_range": (
        "modules/imap/select.c",
        "if (work->vanished.count > 0) {",
        "if (work->vanished.count > 1)\n\t\twork->vanished.count--;\n"
        "\tif (work->vanished.count > 0) {"),
    "idle_misses_changes": (
        "modules/imap/idle.c",
        "pn_ticket_cancel(imap->timer);\n\t(void)imap_tell_news(session, imap, true, told);",
        ""),
    "flags_of_others_are_lost": (
        "modules/imap/store.c",
        "mutation->how = work->how;",
        "mutation->how = work->how == PN_FLAGS_ADD ? PN_FLAGS_REPLACE : work->how;"),
    "a_change_by_someone_else_stops_a_store": (
        "modules/imap/store.c",
        "mutation->unchanged_since = work->unchanged_since;",
        "mutation->unchanged_since = work->has_unchanged_since ? work->unchanged_since\n"
        "\t                                                       : imap->view->modseq;"),
    "unchangedsince_is_ignored": (
        "modules/imap/store.c",
        "mutation->unchanged_since = work->unchanged_since;",
        "mutation->unchanged_since = 0;"),
    "silent_hides_what_others_did": (
        "modules/imap/store.c",
        "mutation->known_modseq = imap->view->modseq;",
        "mutation->known_modseq = 0;"),
    "copyuid_is_in_another_order": (
        "modules/imap/copy.c",
        'result->uid_count > 1 ? " %u:%u" : " %u", result->first_uid,\n'
        "\t                       result->first_uid + (result->uid_count - 1));",
        'result->uid_count > 1 ? " %u,%u" : " %u",\n'
        "\t                       result->first_uid + (result->uid_count - 1), result->first_uid);"),
    "modseq_is_not_raised_by_flags": (
        "modules/store_local/change.c",
        "block->columns[COLUMN_MODSEQ][slot] = flagging->modseq;",
        ""),
    "highestmodseq_is_ahead": (
        "modules/imap/select.c",
        "(unsigned long long)view->highest_modseq);",
        "(unsigned long long)view->highest_modseq + 3);"),
}


def copy_tree(target):
    """The files of the tree, as they are now."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in listed.splitlines():
        if os.path.exists(os.path.join(ROOT, path)):
            os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, path), os.path.join(target, path))


def build(tree, jobs):
    """Builds what the test needs; what the compiler said if it failed."""
    directory = os.path.join(tree, "build-mutant")
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        done = subprocess.run(["cmake", "-S", tree, "-B", directory, "-G", "Ninja",
                               "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                               "-DCMAKE_C_COMPILER_LAUNCHER=ccache"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return done.stdout + done.stderr
    done = subprocess.run(["ninja", "-C", directory, "-j", str(jobs), *TARGETS],
                          capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout[-3000:]


def run_model(tree, seed):
    """(found something, what it said)"""
    done = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--build",
                           os.path.join(tree, "build-mutant"), "--commands", str(COMMANDS),
                           "--seed", str(seed)], capture_output=True, text=True, check=False,
                          timeout=600)
    return done.returncode != 0, done.stdout


def try_mutant(tree, name, jobs):
    """Whether the fault was found; says it."""
    path, old, new = MUTANTS[name]
    file = os.path.join(tree, path)
    with open(file, encoding="utf-8") as stream:
        text = stream.read()
    if text.count(old) != 1:
        print(f"not ok mutants: {name}: its text is {text.count(old)} times in {path}", flush=True)
        return False
    begin = time.monotonic()
    try:
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(text.replace(old, new))
        problem = build(tree, jobs)
        if problem:
            print(f"not ok mutants: {name} does not build:\n{problem}", flush=True)
            return False
        for seed in range(1, SEEDS + 1):
            found, said = run_model(tree, seed)
            if found:
                fault = re.search(r"^\w*(?:Fault|Error)\w*: .*$|^not ok.*$", said, re.M)
                commands = re.search(r"^# (\d+) commands", said, re.M)
                print(f"ok mutants: {name} is found (seed {seed}, "
                      f"{commands.group(1) if commands else '?'} commands, "
                      f"{time.monotonic() - begin:.0f} s)\n#   "
                      f"{fault.group(0)[:200] if fault else said[-200:]}", flush=True)
                return True
    finally:
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(text)
    print(f"not ok mutants: {name} is not found by {SEEDS} seeds", flush=True)
    return False


def main():
    """Reads the arguments and tries the mutants one by one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--directory", help="where the tree is copied to; kept if given")
    parser.add_argument("only", nargs="*", help="parts of names")
    arguments = parser.parse_args()
    tree = arguments.directory or tempfile.mkdtemp(prefix="postern-mutants-")
    names = [name for name in MUTANTS
             if not arguments.only or any(part in name for part in arguments.only)]
    try:
        copy_tree(tree)
        problem = build(tree, arguments.jobs)
        if problem:
            print(f"not ok mutants: the tree does not build:\n{problem}")
            return 1
        found, said = run_model(tree, 1)
        if found:
            print(f"not ok mutants: without a mutant something is wrong\n{said[-1500:]}")
            return 1
        found = sum(try_mutant(tree, name, arguments.jobs) for name in names)
    finally:
        if not arguments.directory:
            shutil.rmtree(tree, ignore_errors=True)
    print(f"# mutants: {found} of {len(names)} were found")
    return 0 if found == len(names) and names else 1


if __name__ == "__main__":
    sys.exit(main())
