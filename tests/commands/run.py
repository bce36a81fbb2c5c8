#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands for accounts, mailboxes and mail.

    run.py [--build DIR] [NAME …]
"""

import argparse
import json
import os
import sys
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "process"))

from support import DOMAIN, Failure, Gateway, check, postern, send  # noqa: E402
from keys import Keys
from queue_commands import Queue, QueueByRoot  # noqa: E402
from transfer import ByRoot, Transfers, ask  # noqa: E402
from trials import Trials


def mailboxes(gateway, account):
    """Name to what is said of it."""
    shown = json.loads(ask(gateway, "mailbox", "list", account, "--json"))
    return {mailbox["mailbox"]: mailbox for mailbox in shown}


class Accounts:
    """account and mailbox, while the gateway runs and while it does not."""

    def __init__(self, gateway):
        self.gateway = gateway

    def an_account_is_created_shown_and_deleted(self):
        gateway = self.gateway
        check(json.loads(ask(gateway, "account", "list", "--json")) == [], "there is one already")
        check("no account" in ask(gateway, "account", "show", "alice", status=1), "show before")
        ask(gateway, "account", "create", f"Alice@{DOMAIN}")
        check("already" in ask(gateway, "account", "create", "alice", status=1), "twice")
        listed = json.loads(ask(gateway, "account", "list", "--json"))
        check([each["account"] for each in listed] == [f"alice@{DOMAIN}"], listed)
        check(listed[0]["store"] == "local" and listed[0]["messages"] == 0, listed)
        send(gateway, "one", f"alice@{DOMAIN}")
        shown = json.loads(ask(gateway, "account", "show", "alice", "--json"))
        check(shown["messages"] == 1 and shown["mailboxes"][0]["mailbox"] == "INBOX", shown)
        check("INBOX" in ask(gateway, "account", "show", "alice"), "the table")
        check(f"alice@{DOMAIN}" in ask(gateway, "account", "list"), "the table of accounts")
        check("--yes" in ask(gateway, "account", "delete", "alice", status=1), "without --yes")
        ask(gateway, "account", "delete", "alice", "--yes")
        check(json.loads(ask(gateway, "account", "list", "--json")) == [], "it is still there")
        check("no" in ask(gateway, "account", "delete", "alice", "--yes", status=1), "deleted twice")

    def who_is_not_in_the_directory_is_told_so(self):
        gateway = self.gateway
        for name, why in (("nobody", "directory"), ("x@elsewhere.test", "domain"), ("team", "alias")):
            answer = ask(gateway, "account", "create", name, status=1)
            check(why in answer, f"{name}: {answer}")
        ask(gateway, "account", "create", f"gone@{DOMAIN}", "--store", "local")
        check(json.loads(ask(gateway, "account", "show", f"gone@{DOMAIN}", "--json"))["messages"] == 0,
              "an account that its directory does not know (any more)")
        ask(gateway, "account", "delete", f"gone@{DOMAIN}", "--yes")
        answer = ask(gateway, "account", "list", "--store", "nonsense")
        check(f"@{DOMAIN}" not in answer, answer)

    def mailboxes_are_created_renamed_and_deleted(self):
        gateway = self.gateway
        check("no account" in ask(gateway, "mailbox", "list", "bob", status=1), "no account yet")
        ask(gateway, "account", "create", "bob")
        ask(gateway, "mailbox", "create", "bob", "Archive/2026")
        check(ask(gateway, "mailbox", "create", "bob", "Archive/2026", status=1), "twice")
        ask(gateway, "mailbox", "create", "bob", "Grüße")
        check("Archive/2026" in mailboxes(gateway, "bob"), "create")
        ask(gateway, "mailbox", "rename", "bob", "Archive", "Old")
        check({"INBOX", "Old/2026", "Grüße"} <= set(mailboxes(gateway, "bob")), "rename")
        check("no mailbox" in ask(gateway, "mailbox", "rename", "bob", "Archive", "x", status=1), "gone")
        ask(gateway, "mailbox", "delete", "bob", "Old/2026")
        check("Old/2026" not in mailboxes(gateway, "bob"), "delete")
        check("INBOX" in ask(gateway, "mailbox", "delete", "bob", "INBOX", status=1), "INBOX")
        check("Grüße" in ask(gateway, "mailbox", "list", "bob"), "the table")

    def it_works_without_a_running_gateway(self):
        self.gateway.stop()
        try:
            ask(self.gateway, "mailbox", "create", "bob", "Alone")
            check("Alone" in mailboxes(self.gateway, "bob"), "it is not there")
        finally:
            self.gateway.start()
        check("Alone" in mailboxes(self.gateway, "bob"), "it is gone")

    def each_command_has_help(self):
        for command in ("account", "mailbox"):
            done = postern(self.gateway, command, "--help")
            check(done.returncode == 0 and done.stdout.startswith("usage: "), f"{command}: {done}")
            done = postern(self.gateway, command, "nonsense")
            check(done.returncode == 2 and done.stderr.startswith("usage: "), f"{command}: {done}")


def readable(gateway):
    """For a gateway whose workers are somebody else."""
    for path in (gateway.directory, os.path.join(gateway.directory, "users"), gateway.config):
        os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)


def run_all(build, names, suites):
    """Every suite with a gateway of its own; returns how many tests failed."""
    failed = 0
    for suite in suites:
        options = getattr(suite, "OPTIONS", {})
        if "user" in options and os.geteuid() != 0:
            print(f"skipped: {suite.__name__} needs root", flush=True)
            continue
        with_gateway = Gateway(build, start=False, **options)
        bad = 0
        try:
            for name, text in getattr(suite, "FILES", {}).items():
                with_gateway.write(name, text)
                os.chmod(os.path.join(with_gateway.directory, name), 0o644)
            if "user" in options:
                readable(with_gateway)
            with_gateway.start()
            tests = suite(with_gateway)
            for name, value in vars(suite).items():
                if name.startswith("_") or not callable(value) or getattr(value, "is_helper", False):
                    continue
                if names and not any(word in name for word in names):
                    continue
                try:
                    value(tests)
                    print(f"ok {name}", flush=True)
                except Exception as error:
                    bad += 1
                    print(f"not ok {name}", flush=True)
                    text = str(error) if isinstance(error, Failure) else traceback.format_exc()
                    print("\n".join("# " + line for line in text.splitlines()), flush=True)
            with_gateway.stop()
        except Exception as error:
            bad += 1
            print(f"not ok the_gateway_of_{suite.__name__.lower()}_runs\n# {error}", flush=True)
        if bad:
            with_gateway.kill()
            print(f"# the log: {with_gateway.log}", flush=True)
        else:
            with_gateway.remove()
        failed += bad
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    return 1 if run_all(arguments.build, arguments.names, (Accounts, Queue, QueueByRoot, Transfers, ByRoot,
                                                                Trials, Keys)) else 0


if __name__ == "__main__":
    sys.exit(main())
