# SPDX-License-Identifier: Apache-2.0
"""The queue: what waits is found, shown and changed, while the gateway runs and while it does not."""

import json
import os
import pty
import re
import smtplib
import socketserver
import subprocess
import threading
import time
import unicodedata

from support import check, log_text, postern, send, wait_for
from transfer import ask, helper

ROWS = 1000


def expected(i):
    """What row i has; as tests/conformance/queue.c makes it."""
    rare = i % 10007 == 0
    failed = i % 4 == 3
    return {"recipient": f"user{i}@rare.test" if rare else f"user{i}@d{i % 100}.test",
            "destination": "rare.test" if rare else f"d{i % 100}.test",
            "tenant": "rare" if rare else f"tenant{i % 3}",
            "sender": "" if i // 5 % 7 == 0 else f"sender{i // 100}@client.test",
            "transaction": f"t{i // 5}", "state": "held" if i % 10 == 9 else "due",
            "attempts": 1 + i % 3 if failed else 0, "hours": i % 100,
            "reason": "451 4.3.0 try again, ü later\x1b[2J" if failed else ""}


def width(text):
    """Columns of a terminal."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


class Sink(socketserver.ThreadingTCPServer):
    """A server that takes mail, and remembers for whom."""

    allow_reuse_address = True
    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            try:
                self.converse()
            except ConnectionError:
                pass

        def converse(self):
            """One connection."""
            self.wfile.write(b"220 sink.test\r\n")
            recipients = []
            for line in self.rfile:
                word = line.strip().upper()
                if word.startswith(b"RCPT TO:"):
                    recipients.append(re.search(rb"<(.*?)>", line).group(1).decode())
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    text = b""
                    for line in self.rfile:
                        if line == b".\r\n":
                            break
                        text += line
                    self.server.taken.append((recipients, text))
                    recipients = []
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.taken = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def recipients(self):
        """Everybody who got something."""
        return {recipient for recipients, _ in self.taken for recipient in recipients}


class Queue:
    """postern queue, on a queue of a thousand rows."""

    OPTIONS = {"more": 'module "deliver_smtp" {}', "settings": 'queue_lifetime = "50d"'}

    def __init__(self, gateway):
        self.gateway = gateway
        self.fill()

    @helper
    def fill(self):
        """Puts the rows into the store, beside the running gateway. An id is one more than i."""
        data = os.path.join(self.gateway.directory, "data")
        if not os.path.lexists(os.path.join(data, "store")):
            os.symlink("local", os.path.join(data, "store"))
        build = self.gateway.build
        done = subprocess.run([os.path.join(build, "tests", "conformance", "store_conformance"), "--queue",
                               str(ROWS), "3600", os.path.join(build, "modules", "store_local.so"), data],
                              capture_output=True, text=True, check=False, timeout=60)
        check(done.returncode == 0, f"store_conformance: {done.stdout}{done.stderr}")

    @helper
    def rows(self, *words):
        """The rows that are listed."""
        lines = ask(self.gateway, "queue", "list", "--json", *(words or ("--all",))).splitlines()
        return [json.loads(line) for line in lines]

    @helper
    def row(self, number):
        """The row of that id, or None."""
        found = self.rows("--id", str(number))
        return found[0] if found else None

    def every_row_is_listed_as_it_is(self):
        rows = self.rows()
        check(len(rows) == ROWS, f"{len(rows)} rows")
        for i, row in enumerate(rows):
            wanted = expected(i)
            hours = wanted.pop("hours")
            for key, value in wanted.items():
                check(row[key] == value, f"row {i}: {key} is {row[key]!r}, not {value!r}")
            arrived = time.mktime(time.strptime(row["arrived"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
            check(abs(time.time() - hours * 3600 - arrived) < 300, f"row {i} arrived {row['arrived']}")

    def rows_are_selected_by_everything(self):
        cases = [
            (("--sender", "SENDER3@client.test"), lambda r: r["sender"] == "sender3@client.test"),
            (("--sender", "<>"), lambda r: r["sender"] == ""),
            (("--recipient", "user57@D57.test"), lambda r: r["recipient"] == "user57@d57.test"),
            (("--domain", "d5.test"), lambda r: r["recipient"].endswith("@d5.test")),
            (("--destination", "D6.test"), lambda r: r["destination"] == "d6.test"),
            (("--destination", "d9.test"), lambda r: r["destination"] == "d9.test"),
            (("--tenant", "rare"), lambda r: r["tenant"] == "rare"),
            (("--state", "held"), lambda r: r["state"] == "held"),
            (("--state", "due", "--destination", "d19.test"),
             lambda r: r["state"] == "due" and r["destination"] == "d19.test"),
            (("--attempts", "2"), lambda r: r["attempts"] == 2),
            (("--attempts", "2+"), lambda r: r["attempts"] >= 2),
            (("--attempts", "0"), lambda r: r["attempts"] == 0),
            (("--reason", "TRY again"), lambda r: "try again" in r["reason"]),
            (("--reason", "nothing like it"), lambda r: False),
            (("--transaction", "t7"), lambda r: r["transaction"] == "t7"),
            (("--older", "90h"), lambda r: r["hours"] >= 90),
            (("--younger", "30m"), lambda r: r["hours"] == 0),
            (("--older", "10h", "--younger", "13h"), lambda r: 10 <= r["hours"] < 13),
            (("--sender", "sender1@client.test", "--attempts", "1+", "--tenant", "tenant2", "--state", "due"),
             lambda r: (r["sender"], r["tenant"], r["state"]) == ("sender1@client.test", "tenant2", "due")
             and r["attempts"] > 0),
            (("--id", "17"), lambda r: r["recipient"] == "user16@d16.test"),
            (("--id", "99999"), lambda r: False),
            (("--id", "17", "--state", "held"), lambda r: False),
        ]
        for words, fits in cases:
            wanted = {i + 1 for i in range(ROWS) if fits(expected(i))}
            found = [row["id"] for row in self.rows(*words)]
            check(set(found) == wanted and len(found) == len(wanted),
                  f"{words}: {len(found)} instead of {len(wanted)}: {sorted(set(found) ^ wanted)[:10]}")
        check(len(self.rows("--limit", "7")) == 7, "--limit")
        check(len(self.rows("--state", "held", "--limit", "3")) == 3, "--limit with others")

    def the_summary_adds_up(self):
        groups = [json.loads(line) for line in ask(self.gateway, "queue", "list", "--json").splitlines()]
        check(sum(group["recipients"] for group in groups) == ROWS, "the sum")
        check(sum(group["held"] for group in groups) == ROWS // 10, "those that are held")
        found = {group["destination"]: group for group in groups}
        check(found["d3.test"]["recipients"] == 10 and found["d3.test"]["reason"], found["d3.test"])
        text = ask(self.gateway, "queue", "list")
        check(re.search(rf"^ +{ROWS} +{ROWS // 10} .* in all, for 101 destinations$", text, re.M), text[-500:])
        check("51 destinations are not shown" in text, text[-500:])

    def tables_fit_the_terminal_and_do_nothing_to_it(self):
        for columns in (60, 80, 100, 140):
            os.environ["COLUMNS"] = str(columns)
            try:
                texts = [ask(self.gateway, "queue", "list", "--attempts", "1+"), ask(self.gateway, "queue", "list")]
            finally:
                del os.environ["COLUMNS"]
            for text in texts:
                check("\x1b" not in text, "a control character")
                lines = [line for line in text.splitlines() if re.match(r" *[0-9]+ ", line)]
                check(len(lines) >= 40, f"{len(lines)} lines")
                longest = max(map(width, lines))
                check(longest <= max(columns, 80 if "WAITING" in text else 0),
                      f"{longest} columns of {columns}: {lines[0]}")
        wide = ask(self.gateway, "queue", "list", "--id", "4")
        check("451 4.3.0 try again, ü later?[2J" in wide, wide)
        starts = {line.index("user") for line in
                  ask(self.gateway, "queue", "list", "--limit", "30").splitlines()[1:]}
        check(len(starts) == 1, f"the columns are not aligned: {starts}")

    def show_tells_all_of_a_row(self):
        text = ask(self.gateway, "queue", "show", "8")
        for words in ("t1", "user7@d7.test", "sender0@client.test", "key: value", "mail.RET: HDRS",
                      "Subject: message 1", "X-Odd: ?]0;title?"):
            check(words in text, f"show does not say {words}: {text}")
        check("\x1b" not in text and "The body" not in text, text)
        shown = json.loads(ask(self.gateway, "queue", "show", "8", "--json"))
        check(shown["details"] == {"key": "value", "mail.RET": "HDRS", "size": "52", "stored": "52"}, shown)
        check(shown["header"].startswith("Subject: message 1\r\n"), shown)
        body = ask(self.gateway, "queue", "show", "8", "--body")
        check(body == "Subject: message 1\nX-Odd: \x1b]0;title\x07\n\nThe body.\n", repr(body))
        check("t1" in ask(self.gateway, "queue", "show", "t1"), "by the id of the transaction")
        for name in ("99999", "0", "nothing"):
            check(ask(self.gateway, "queue", "show", name, status=1), name)
        check("one of them" in ask(self.gateway, "queue", "show", "8", "--body", "--json", status=1), "both")

    def a_dry_run_changes_nothing(self):
        before = self.rows()
        for action in (("hold",), ("release",), ("retry",), ("bounce",), ("delete",),
                       ("requeue", "--route", "account")):
            text = ask(self.gateway, "queue", *action, "--domain", "d9.test", "--dry-run")
            count = 10 if action[0] not in ("hold",) else 0
            check(f" {count} recipient" in text and "nothing was done" in text, text)
        check(self.rows() == before, "something was changed")

    def without_a_selection_it_is_asked_for(self):
        for action in ("hold", "retry", "bounce", "delete"):
            text = ask(self.gateway, "queue", action, status=1)
            check("--yes" in text and re.search(r" (900|1000) recipients", text), text)
        for words in (("--sender", ""), ("--domain", ""), ("--limit", "0"), ("--state", "x"),
                      ("--older", "5"), ("--attempts", "x+"), ("--id", "x")):
            done = postern(self.gateway, "queue", "delete", *words)
            check(done.returncode == 2, f"{words}: {done}")
        for words in ((), ("nonsense",), ("show",), ("list", "more"), ("hold", "17"), ("list", "--nonsense")):
            check(postern(self.gateway, "queue", *words).returncode == 2, words)
        check(len(self.rows()) == ROWS, "something was changed")
        for route in ((), ("--route", "hosts:"), ("--route", "hosts:a..b"), ("--route", "mx@nobody")):
            check(postern(self.gateway, "queue", "requeue", "--id", "1", *route).returncode == 2, route)

    def what_is_held_waits_until_it_is_released(self):
        text = ask(self.gateway, "queue", "hold", "--destination", "d20.test", "--because", "looks odd")
        check(text == "held 10 recipients\n", text)
        held = self.rows("--destination", "d20.test")
        check(len(held) == 10, held)
        check(all(row["state"] == "held" and row["reason"] == "looks odd" for row in held), held)
        check("held 0 recipients" in ask(self.gateway, "queue", "hold", "--destination", "d20.test"), "twice")
        text = ask(self.gateway, "queue", "release", "--destination", "d20.test", "--limit", "4", "--json")
        check(json.loads(text) == {"action": "release", "dry_run": False, "recipients": 4, "gone": 0}, text)
        check(len(self.rows("--destination", "d20.test", "--state", "held")) == 6, "--limit")

    def what_was_done_is_part_of_the_history(self):
        ask(self.gateway, "queue", "hold", "--id", "151", "--because", "for the history")
        story = json.loads(ask(self.gateway, "explain", "t30", "--json").splitlines()[-1])
        check(story["event"] == "queue" and story["action"] == "hold" and story["row"] == 151 and
              story["uid"] == os.getuid() and story["reason"] == "for the history", story)
        ask(self.gateway, "queue", "hold", "--domain", "d51.test")
        history = os.path.join(self.gateway.directory, "data", "history")
        events = [json.loads(line) for name in os.listdir(history) if "operator" in name and "jsonl" in name
                  for line in open(os.path.join(history, name), encoding="utf-8")]
        last = [event for event in events if "count" in event][-1]
        check(last["count"] == 10 and last["selection"] == "--domain d51.test", last)

    def a_row_goes_another_way_at_once(self):
        with Sink() as sink:
            port = sink.server_address[1]
            rows = self.rows("--domain", "d30.test")
            ask(self.gateway, "queue", "requeue", "--domain", "d30.test", "--route", f"hosts:127.0.0.1:{port}")
            wait_for(lambda: sink.recipients() == {row["recipient"] for row in rows},
                     "what was sent another way")
            wait_for(lambda: not self.rows("--domain", "d30.test"), "rows that are done")
            check(all(b"The body." in text for _, text in sink.taken), f"another message: {sink.taken[0]}")
            sink.shutdown()

    def what_is_suspended_waits_and_what_is_resumed_does_not(self):
        with Sink() as sink:
            route = f"hosts:127.0.0.1:{sink.server_address[1]}"
            ask(self.gateway, "queue", "suspend", "--destination", route, "--because", "repairs")
            ask(self.gateway, "queue", "suspend", "--tenant", "tenant9", "--for", "1s")
            text = ask(self.gateway, "queue", "suspend")
            check(route in text and "repairs" in text and "tenant9" in text, text)
            ask(self.gateway, "queue", "requeue", "--domain", "d31.test", "--route", route)
            rows = self.rows("--domain", "d31.test")
            check({row["destination"] for row in rows} == {route}, rows[0])
            ask(self.gateway, "queue", "retry", "--domain", "d31.test")
            # What is not suspended goes, and it is asked for later.
            other = route.replace("127.0.0.1", "localhost")
            ask(self.gateway, "queue", "requeue", "--id", "33", "--route", f"{route},{other[6:]}")
            wait_for(lambda: sink.recipients() == {expected(32)["recipient"]}, "another destination")
            check(len(self.rows("--domain", "d31.test")) == 10, "what is suspended was delivered")
            wait_for(lambda: "tenant9" not in ask(self.gateway, "queue", "suspend"), "the end of a suspension")
            ask(self.gateway, "queue", "resume", "--destination", route)
            wait_for(lambda: not self.rows("--domain", "d31.test"), "what was resumed")
            check("Nothing is suspended" in ask(self.gateway, "queue", "suspend"), "it is suspended still")
            check("not suspended" in ask(self.gateway, "queue", "resume", "--tenant", "x"), "resumed twice")
            sink.shutdown()

    def an_option_that_a_verb_does_not_take_stops_it(self):
        ask(self.gateway, "queue", "suspend", "--tenant", "tenant7")
        for words in (("resume", "--domain", "d1.test", "--yes"), ("resume", "--sender", "a@b.test", "--yes"),
                      ("hold", "--domain", "d1.test", "--for", "2h"), ("retry", "--id", "1", "--route", "mx"),
                      ("delete", "--domain", "d1.test", "--because", "x"), ("show", "1", "--limit", "3"),
                      ("suspend", "--domain", "d1.test"), ("list", "--because", "x")):
            done = ask(self.gateway, "queue", *words, status=2)
            check(f"queue {words[0]} takes no --" in done and "nothing was done" in done, f"{words}: {done}")
        check("tenant7" in ask(self.gateway, "queue", "suspend"), "it was resumed")
        check(not [row for row in self.rows("--domain", "d1.test") if row["reason"] == "x"], "something was done")
        ask(self.gateway, "queue", "resume", "--tenant", "tenant7")

    def operators_do_not_undo_each_other(self):
        commands = [subprocess.Popen([os.path.join(self.gateway.build, "postern"), "queue", "suspend", "--tenant",
                                      f"t{i}", "--config", self.gateway.config], stdout=subprocess.DEVNULL)
                    for i in range(12)]
        check([command.wait(60) for command in commands] == [0] * 12, "a command failed")
        text = ask(self.gateway, "queue", "suspend", "--json")
        check({json.loads(line)["name"] for line in text.splitlines()} == {f"t{i}" for i in range(12)}, text)
        check("--yes" in ask(self.gateway, "queue", "resume", status=1), "everything without a question")
        ask(self.gateway, "queue", "resume", "--yes")
        check(ask(self.gateway, "queue", "suspend", "--json") == "", "not all were resumed")

    def who_is_bounced_hears_of_it(self):
        row = self.row(147)
        check(row["sender"] == "sender1@client.test", row)
        # Its report waits, whatever DNS says of where it goes.
        ask(self.gateway, "queue", "suspend", "--destination", "client.test")
        ask(self.gateway, "queue", "bounce", "--id", "147", "--because", "it is not wanted here")
        wait_for(lambda: self.row(147) is None, "a row that is done")
        reports = wait_for(lambda: self.rows("--recipient", row["sender"]), "a report")
        check(len(reports) == 1 and reports[0]["sender"] == "", reports)
        text = ask(self.gateway, "queue", "show", str(reports[0]["id"]), "--body")
        check("multipart/report" in text and row["recipient"] in text, text)
        ask(self.gateway, "queue", "delete", "--id", str(reports[0]["id"]))
        ask(self.gateway, "queue", "resume", "--destination", "client.test")

    def it_works_without_a_running_gateway(self):
        self.gateway.stop()
        try:
            count = len(self.rows("--domain", "d41.test"))
            check(count == 10, count)
            ask(self.gateway, "queue", "hold", "--domain", "d41.test")
            check(ask(self.gateway, "queue", "delete", "--id", "42") == "deleted 1 recipient\n", "delete")
            check(self.row(42) is None, "it is still there")
        finally:
            self.gateway.start()
        check({row["state"] for row in self.rows("--domain", "d41.test")} == {"held"}, "it was not held")

    def what_is_deleted_is_gone_and_nobody_hears_of_it(self):
        check("deleted 9 recipients" in ask(self.gateway, "queue", "delete", "--domain", "d41.test"), "delete")
        rows = len(self.rows())
        text = ask(self.gateway, "queue", "delete", "--yes")
        check(text == f"deleted {rows} recipients\n", text)
        check(self.rows() == [] and ask(self.gateway, "queue", "list").count("\n") == 2, "something is left")
        check("nothing of that kind waits" in ask(self.gateway, "queue", "list", "--all"), "an empty list")
        check("Traceback" not in log_text(self.gateway), "the log")

    def it_has_help(self):
        done = postern(self.gateway, "queue", "--help")
        check(done.returncode == 0 and done.stdout.startswith("usage: "), done)


class QueueByRoot:
    """The queue of workers who are somebody else; root looks after it."""

    OPTIONS = {"user": "nobody", "settings": 'group = "nogroup"\nqueue_lifetime = "50d"\nzone_file = "zone"',
               "more": 'module "deliver_smtp" { port = 9 }\npolicy { "relay.lua" }', "tls": False}
    FILES = {"relay.lua": 'on("envelope.recipient", function() return accept() end)\n',
             "zone": "remote.test. 60 IN MX 10 mx.remote.test.\nmx.remote.test. 60 IN A 127.0.0.1\n"}

    def __init__(self, gateway):
        self.gateway = gateway

    def what_root_does_in_the_queue_is_the_workers(self):
        gateway = self.gateway
        with Sink() as sink:
            for number in range(4):
                send(gateway, f"number {number}", f"user{number}@remote.test")
            wait_for(lambda: len(ask(gateway, "queue", "list", "--all", "--json").splitlines()) == 4, "four rows")
            ask(gateway, "queue", "suspend", "--tenant", "nobody in particular")
            ask(gateway, "queue", "hold", "--recipient", "user1@remote.test")
            ask(gateway, "queue", "delete", "--recipient", "user2@remote.test")
            route = f"hosts:127.0.0.1:{sink.server_address[1]}"
            ask(gateway, "queue", "requeue", "--domain", "remote.test", "--state", "due", "--route", route)
            wait_for(lambda: sink.recipients() == {"user0@remote.test", "user3@remote.test"}, "what is due")
            sink.shutdown()
        for folder, _, files in os.walk(os.path.join(gateway.directory, "data")):
            for name in files:
                owner = os.stat(os.path.join(folder, name)).st_uid
                check(owner == 65534 or name == "postern.lock", f"{folder}/{name} belongs to {owner}")
        story = json.loads(ask(gateway, "queue", "list", "--all", "--json").splitlines()[0])
        check(story["recipient"] == "user1@remote.test" and story["state"] == "held", story)
        done = json.loads(ask(gateway, "explain", story["transaction"], "--json").splitlines()[-1])
        check(done["uid"] == 0 and done["action"] == "hold", done)

    def a_long_message_is_shown_whole_on_a_terminal(self):
        lines = [f"line {number} größer {'x' * (number % 90)}" for number in range(4000)]
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["mx"], timeout=20) as client:
            client.sendmail("a@sender.test", ["long@remote.test"],
                            ("Subject: long\r\n\r\n" + "\r\n".join(lines) + "\r\n").encode())
        row = wait_for(lambda: ask(self.gateway, "queue", "list", "--recipient", "long@remote.test", "--json"),
                       "the row")
        master, slave = pty.openpty()
        shown = subprocess.Popen([os.path.join(self.gateway.build, "postern"), "queue", "show",
                                  str(json.loads(row)["id"]), "--body", "--config", self.gateway.config],
                                 stdout=slave)
        os.close(slave)
        text = b""
        try:
            while piece := os.read(master, 65536):
                text += piece
        except OSError:
            pass  # its end
        os.close(master)
        check(shown.wait(20) == 0, "it failed")
        got = [line for line in text.decode().split("\r\n") if line.startswith("line ")]
        check(got == lines, f"{len(got)} of {len(lines)}: {[line for line in got if line not in lines][:3]}")
