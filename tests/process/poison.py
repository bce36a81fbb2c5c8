# SPDX-License-Identifier: Apache-2.0
"""Messages that take down workers: twice each, and no more; and a hook that dies of too many of them."""

import json
import os
import re
import signal
import smtplib
import tempfile
import time

from memory_group import MemoryGroup
from sink import Sink
from support import Clients, DOMAIN, Failure, check, edit, log_text, postern, status, wait_for

ROUTE = """
on("envelope.recipient", function(session, recipient) return accept() end)
on("recipient.route", function(session, recipient)
	if recipient.domain == "remote.test" then
		recipient:route{ hosts = { "127.0.0.1:%d" } }
	elseif recipient.domain == "wreck.test" then
		recipient:route{ hosts = { "127.0.0.1:%d" }, transport = "crash" }
	end
end)
"""


def message(subject, where=None):
    """A message, which crashes a hook where `where` is given."""
    mark = f"X-Crash: {where}\r\n" if where else ""
    return f"From: <a@sender.test>\r\nSubject: {subject}\r\n{mark}\r\nThis is {subject}.\r\n"


def try_to_send(gateway, text, recipient=f"alice@{DOMAIN}"):
    """One attempt: the code of the answer; 0 where the connection broke."""
    try:
        with smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=20) as client:
            client.ehlo("client.test")
            client.docmd("MAIL FROM:<a@sender.test>")
            code, answer = client.docmd(f"RCPT TO:<{recipient}>")
            if code != 250:
                return code, answer.decode()
            code, answer = client.data(text)
            return code, answer.decode()
    except (OSError, smtplib.SMTPException) as error:
        return 0, str(error)


def deaths(gateway):
    """Workers that died until now."""
    return wait_for(lambda: status(gateway), "the status")["worker_deaths"]


def queue(gateway, *words):
    """The rows of the queue."""
    done = postern(gateway, "queue", "list", "--json", *(words or ("--all",)))
    check(done.returncode == 0, f"queue list: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def undisturbed(test):
    """Once more where the kernel killed for want of memory meanwhile, whomever: then kills count for more."""
    def tried(self):
        for attempt in range(3):
            known = len(self.gateways)
            try:
                return test(self)
            except Failure:
                mine = self.gateways[known:]
                if attempt == 2 or not any("memory had run out" in log_text(each) for each in mine):
                    raise
            print("# the machine is short of memory: once more", flush=True)
            for each in mine:
                each.kill()
            time.sleep(31)
        return None
    return tried


class PoisonTests:
    """Each has a gateway of its own, with the module crash."""

    def crashing(self, **options):
        """A gateway with hooks that crash."""
        options.setdefault("workers", 2)
        directories = f'module_directories = {{ "{self.build}/modules", "{self.build}/tests/modules" }}'
        more = options.pop("more", "")
        gateway = self.gateway(start=False, more=f'module "crash" {{ {options.pop("crash", "")} }}\n{more}',
                               **options)
        edit(gateway, f'module_directories = {{ "{gateway.build}/modules" }}',
             directories.replace(self.build, gateway.build))
        return gateway

    crashing.is_helper = True

    def a_message_that_crashes_in_the_queue_is_set_aside(self):
        sink = Sink()
        gateway = self.crashing(more='module "deliver_smtp" {}\npolicy { "route.lua" }')
        gateway.write("route.lua", ROUTE % (sink.port, sink.port))
        gateway.start()
        check(try_to_send(gateway, message("poison"), "crash-1@remote.test")[0] == 250, "not accepted")
        held = wait_for(lambda: queue(gateway, "--state", "held"), "a message that is held", 30)
        check(len(held) == 1 and held[0]["recipient"] == "crash-1@remote.test", held)
        check("took down" in held[0]["reason"], held[0])
        check(deaths(gateway) == 2, f"{deaths(gateway)} workers died")
        check(try_to_send(gateway, message("fine"), "fine@remote.test")[0] == 250, "not accepted")
        wait_for(lambda: "fine@remote.test" in sink.arrivals, "other mail")
        now = status(gateway)
        check(now["set_aside"] == 1 and now["disabled_hooks"] == [], now)
        check("SET ASIDE: 1 message" in postern(gateway, "status").stdout, "status does not say so")
        check("is set aside" in log_text(gateway), "the log does not say so")
        check(deaths(gateway) == 2, f"{deaths(gateway)} workers died")
        sink.stop()

    def a_message_at_which_a_transport_crashes_is_set_aside(self):
        sink = Sink()
        gateway = self.crashing(more='module "deliver_smtp" {}\npolicy { "route.lua" }')
        gateway.write("route.lua", ROUTE % (sink.port, sink.port))
        gateway.start()
        check(try_to_send(gateway, message("poison"), "a@wreck.test")[0] == 250, "not accepted")
        held = wait_for(lambda: queue(gateway, "--state", "held"), "a message that is held", 30)
        check(len(held) == 1 and "entry line" in held[0]["reason"], held)
        check(deaths(gateway) == 2, f"{deaths(gateway)} workers died")
        check(try_to_send(gateway, message("fine"), "fine@remote.test")[0] == 250, "not accepted")
        wait_for(lambda: "fine@remote.test" in sink.arrivals, "other mail")
        # Who releases it has it tried once more.
        postern(gateway, "queue", "release", "--id", str(held[0]["id"]))
        wait_for(lambda: deaths(gateway) == 3, "another death", 30)
        wait_for(lambda: queue(gateway, "--state", "held"), "a message that is held again", 30)
        sink.stop()

    def a_crash_on_a_thread_or_in_an_answer_is_that_of_its_message(self):
        sink = Sink()
        gateway = self.crashing(more='module "deliver_smtp" {}\npolicy { "route.lua" }')
        gateway.write("route.lua", ROUTE % (sink.port, sink.port))
        gateway.start()
        for count, recipient in enumerate(("job-1@remote.test", "answer-1@remote.test"), 1):
            check(try_to_send(gateway, message("poison"), recipient)[0] == 250, "not accepted")
            held = wait_for(lambda: [row for row in queue(gateway, "--state", "held")
                                     if row["recipient"] == recipient], "a message that is held", 30)
            check("module crash, hook crash:start" in held[0]["reason"], held)
            check(deaths(gateway) == 2 * count, f"{deaths(gateway)} workers died")
        sink.stop()

    def a_transport_that_crashes_as_soon_as_it_is_connected_is_found_out(self):
        sink = Sink()
        gateway = self.crashing(crash="at_open = true", more='module "deliver_smtp" {}\npolicy { "route.lua" }')
        gateway.write("route.lua", ROUTE % (sink.port, sink.port))
        gateway.start()
        check(try_to_send(gateway, message("poison"), "a@wreck.test")[0] == 250, "not accepted")
        held = wait_for(lambda: queue(gateway, "--state", "held"), "a message that is held", 30)
        check(len(held) == 1 and "entry open" in held[0]["reason"], held)
        check(deaths(gateway) == 2, f"{deaths(gateway)} workers died")
        sink.stop()

    def a_death_in_the_queue_counts_after_a_restart_of_the_whole_gateway(self):
        sink = Sink()
        gateway = self.crashing(more='module "deliver_smtp" {}\npolicy { "route.lua" }')
        gateway.write("route.lua", ROUTE % (sink.port, sink.port))
        gateway.start()
        suspects = os.path.join(gateway.directory, "data", "suspects")
        check(try_to_send(gateway, message("poison"), "crash-1@remote.test")[0] == 250, "not accepted")
        wait_for(lambda: os.path.exists(suspects), "the file of suspects", 30)
        gateway.kill()
        gateway.start()
        wait_for(lambda: queue(gateway, "--state", "held"), "a message that is held", 30)
        check(deaths(gateway) <= 1, f"{deaths(gateway)} workers died after the restart")
        sink.stop()

    def staying(self, sink):
        """A gateway whose queue worker stays at recipients "stay…" while the file "stay" is there."""
        directory = tempfile.mkdtemp(prefix="postern-stay.")
        stay = os.path.join(directory, "stay")
        with open(stay, "w", encoding="ascii"):
            pass
        gateway = self.crashing(crash=f'stays_for = "{stay}"',
                                more='module "deliver_smtp" {}\npolicy { "route.lua" }')
        gateway.write("route.lua", ROUTE % (sink.port, sink.port))
        gateway.start()
        return gateway, stay

    staying.is_helper = True

    def kill_at_work(self, gateway):
        """SIGKILL for the queue worker, while it is at the message."""
        def who():
            pids = [int(pid) for pid in re.findall(r"staying in (\d+)", log_text(gateway))]
            return pids[-1] if pids and pids[-1] not in self.killed else None
        pid = wait_for(who, "the queue worker to be at work", 40)
        self.killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    kill_at_work.is_helper = True

    @undisturbed
    def a_message_at_work_when_workers_are_killed_from_outside_is_not_held(self):
        sink = Sink()
        self.killed = set()
        gateway, stay = self.staying(sink)
        check(try_to_send(gateway, message("slow"), "stay-1@remote.test")[0] == 250, "not accepted")
        for _ in range(3):
            self.kill_at_work(gateway)
        wait_for(lambda: deaths(gateway) == 3, "three deaths")
        os.unlink(stay)
        wait_for(lambda: "stay-1@remote.test" in sink.arrivals, "the message", 40)
        check(status(gateway)["set_aside"] == 0, status(gateway))
        check(log_text(gateway).count("killed from outside while it ran crash") == 3, "the log does not say so")
        os.rmdir(os.path.dirname(stay))
        sink.stop()

    @undisturbed
    def a_message_at_work_whenever_a_worker_is_killed_is_set_aside_in_the_end(self):
        sink = Sink()
        self.killed = set()
        gateway, stay = self.staying(sink)
        check(try_to_send(gateway, message("slow"), "stay-1@remote.test")[0] == 250, "not accepted")
        for kills in range(8):
            check(queue(gateway, "--state", "held") == [], f"held after {kills} kills")
            self.kill_at_work(gateway)
        held = wait_for(lambda: queue(gateway, "--state", "held"), "a message that is held", 40)
        check("at work 8 times" in held[0]["reason"] and "may be chance" in held[0]["reason"], held)
        check(status(gateway)["disabled_hooks"] == [], status(gateway))
        os.unlink(stay)
        postern(gateway, "queue", "release", "--id", str(held[0]["id"]))
        wait_for(lambda: "stay-1@remote.test" in sink.arrivals, "the message", 40)
        os.rmdir(os.path.dirname(stay))
        sink.stop()

    def a_message_that_eats_all_memory_is_set_aside(self):
        with open(os.path.join(self.build, "postern"), "rb") as program:
            if b"__asan_init" in program.read():
                print("# skipped: a sanitizer needs more memory than there is to be")
                return
        group = MemoryGroup.make(160)
        if group is None:
            print("# skipped: no group of processes with a limit of memory can be made here")
            return
        sink = Sink()
        gateway = self.crashing(more='module "deliver_smtp" {}\npolicy { "route.lua" }')
        gateway.write("route.lua", ROUTE % (sink.port, sink.port))
        try:
            gateway.start()
            group.take(gateway.process.pid, *[each["pid"] for each in status(gateway)["workers"]])
            check(try_to_send(gateway, message("hungry"), "eat-1@remote.test")[0] == 250, "not accepted")
            held = wait_for(lambda: queue(gateway, "--state", "held"), "a message that is held", 60)
            check("killed when memory had run out" in held[0]["reason"], held)
            check(deaths(gateway) == 2, f"{deaths(gateway)} workers died")
        finally:
            gateway.kill()
            group.remove()
        sink.stop()

    def poison_that_waits_does_not_keep_the_gateway_from_starting(self):
        sink = Sink()
        gateway = self.crashing(workers=8, more='module "deliver_smtp" {}\npolicy { "route.lua" }')
        gateway.write("route.lua", ROUTE % (sink.port, sink.port))
        gateway.start()
        for number in range(4):
            done = postern(gateway, "queue", "suspend", "--destination", f"hosts:127.0.0.1:{sink.port}")
            check(done.returncode == 0, done.stderr)
            for name in ("a", "b"):
                check(try_to_send(gateway, message("poison"), f"crash-{number}{name}@remote.test")[0] == 250, "no")
            gateway.stop()
            check(postern(gateway, "queue", "resume", "--yes").returncode == 0, "resume")
            gateway.start()
            wait_for(lambda: len(queue(gateway, "--state", "held")) == 2 * (number + 1), "all of it to be held", 30)
        sink.stop()

    def a_message_that_crashes_a_hook_is_set_aside(self):
        gateway = self.crashing()
        gateway.start()
        places = ("decide", "headers", "job", "answer")
        for where in places:
            text = message(f"poison at {where}", where)
            before = deaths(gateway)
            for attempt in range(2):
                check(try_to_send(gateway, text)[0] == 0, f"attempt {attempt} was answered")
                wait_for(lambda: deaths(gateway) == before + attempt + 1, "a death")
            for attempt in range(3):
                code, answer = wait_for(lambda: (got := try_to_send(gateway, text))[0] and got, "an answer")
                check(code >= 250, f"{code} {answer}")
            check(deaths(gateway) == before + 2, f"{deaths(gateway)} deaths, and there were {before}")
        held = queue(gateway, "--state", "held")
        check(len(held) == 3 * len(places) and all("took down two workers, module crash, hook crash:" in row["reason"] for row in held), held)
        check(try_to_send(gateway, message("fine"))[0] == 250, "other mail")
        check(status(gateway)["set_aside"] == len(places), status(gateway))
        # What is a suspect stays one.
        gateway.stop()
        gateway.start()
        before = deaths(gateway)
        check(wait_for(lambda: status(gateway)["set_aside"] == len(places), "suspects after a restart"), "")
        check(try_to_send(gateway, message("poison at decide", "decide"))[0] != 0, "it crashed again")
        check(deaths(gateway) == before, "a worker died")

    def a_hook_that_dies_of_twenty_messages_is_disabled_and_never_open(self):
        gateway = self.crashing(workers=4)
        gateway.start()
        for number in range(60):
            try_to_send(gateway, message(f"poison {number}", "open"))
            if wait_for(lambda: status(gateway), "the status")["disabled_hooks"]:
                break
        check(number >= 19, f"it was disabled after {number + 1} messages")
        check(number < 40, f"it was disabled after {number + 1} messages only")
        check(status(gateway)["disabled_hooks"] == [{"module": "crash", "hook": "crash:open"}], status(gateway))
        check("it is DISABLED" in log_text(gateway), "the log does not say so")
        check("DISABLED: the hook crash:open of crash" in postern(gateway, "status").stdout, "nor does status")
        before = deaths(gateway)
        code, answer = try_to_send(gateway, message("poison again", "open"))
        check(code == 451, f"{code} {answer}: it failed open")
        check(try_to_send(gateway, message("fine"))[0] == 451, "it failed open")
        check(deaths(gateway) == before, "a worker died")
        check(postern(gateway, "reload").returncode == 0, "reload")
        check(status(gateway)["disabled_hooks"] == [], "it is disabled after a reload")
        check(try_to_send(gateway, message("fine"))[0] == 250, "a reload gives it another chance")

    def the_same_message_again_and_again_disables_no_hook(self):
        gateway = self.crashing(workers=4)
        gateway.start()
        for _ in range(30):
            try_to_send(gateway, message("poison", "decide"))
        now = wait_for(lambda: status(gateway), "the status")
        check(now["disabled_hooks"] == [], now)
        check(now["worker_deaths"] == 2, now)

    def other_mail_flows_while_poison_comes(self):
        gateway = self.crashing(workers=3)
        gateway.start()

        clients = Clients(gateway, 3)
        # Fewer than a hook may die of in a minute.
        for number in range(15):
            for _ in range(8):
                if try_to_send(gateway, message(f"poison {number}", "decide"))[0] == 250:
                    break
            else:
                check(False, "the poison was never set aside")
            before = clients.served()
            wait_for(lambda seen=before: clients.served() > seen, "others are served in between")
        sessions = clients.stop()
        check(deaths(gateway) == 30, f"{deaths(gateway)} deaths of 15 messages")
        broken = [problem for *_, problem in sessions if problem is not None]
        check(len(broken) <= 30 * 3, f"{len(broken)} sessions broke: {broken[:3]}")
        check(not any("451" in problem for problem in broken), broken[:3])
        check(status(gateway)["set_aside"] == 15 and not status(gateway)["disabled_hooks"], "set aside")
        print(f"# {len(sessions)} sessions beside 15 poisoned messages; {len(broken)} broke")
