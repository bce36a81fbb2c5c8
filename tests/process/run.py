#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processes: workers that die and hang, reloads, commands, and starts that must fail.

    run.py [--build DIR] [--seed S] [NAME …]

Every test has a gateway of its own; a NAME runs those whose names contain it.
"""

import argparse
import base64
import json
import os
import random
import resource
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request

from support import (DOMAIN, PASSWORD, SHA512, SLOWNESS, Clients, Failure, Gateway, GatewayError, HERE,
                     answers_on, check, connect, edges, edit, free_ports, log_text, make_certificate,
                     postern, processor_seconds, send_over, serve_fails, shown_certificate, status,
                     wait_for)
from confinement import ConfinementTests
from control import ControlTests
from layers import LayerTests
from managers import ManagerTests
from policies import PolicyTests
from proxies import ProxyTests
from poison import PoisonTests
from pressure import PressureTests
from queues import QueueTests
from tls import TlsTests

WORKER_IN_BANNER = "banner_worker = true"
LOOP = """
on("envelope.sender", function(session)
	if session.hello == "loop.test" then
		while true do end
	end
end)
"""
HELLO = 'on("client.hello", function(session)\n\tif session.hello == "bad.test" then\n' \
        '\t\treturn reject(550, "5.7.1", "%s")\n\tend\nend)\n'


class Tests(QueueTests, PolicyTests, PoisonTests, ControlTests, ProxyTests, TlsTests,
            LayerTests, ConfinementTests, PressureTests, ManagerTests):
    """The tests; each is called with a function that makes gateways, and ends them."""

    def __init__(self, build, seed):
        self.build = build
        self.generator = random.Random(seed)
        self.gateways = []

    def gateway(self, start=True, files=None, **options):
        """A gateway that is ended after the test."""
        gateway = Gateway(self.build, start=False, **{"tls": False, **options})
        self.gateways.append(gateway)
        for name, text in (files or {}).items():
            gateway.write(name, text)
        if start:
            gateway.start()
        return gateway

    def take_another_key(self, gateway):
        """Puts a key beside the certificate that is not its own; returns where the good one is."""
        key = os.path.join(gateway.directory, "key.pem")
        os.replace(key, key + ".good")
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-out", key], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return key + ".good"

    # ---- workers that die and hang ----

    def only_sessions_of_a_killed_worker_end(self):
        gateway = self.gateway(workers=3, mx=WORKER_IN_BANNER)
        clients = Clients(gateway)
        kills = []
        for _ in range(8):
            time.sleep(0.2 + self.generator.random() * 0.2)
            number, pid = self.generator.choice(list(wait_for(
                lambda: len(edges(gateway)) > 1 and edges(gateway), "two workers").items()))
            kills.append((time.monotonic(), number))
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
        sessions = clients.stop()
        before_banner = 0
        for begin, end, worker, problem in sessions:
            if problem is None:
                continue
            hit = [number for at, number in kills if begin - 0.01 <= at <= end + 0.01]
            check("refused" not in problem, f"a connection was refused: {problem}")
            if worker is None:
                # Accepted by the killed one, and not greeted yet: nobody can tell whose it was.
                check(hit, f"a session ended before its banner and nobody was killed: {problem}")
                before_banner += 1
            else:
                check(worker in hit, f"a session of worker {worker} ended with {problem}; "
                                     f"killed meanwhile: {hit}")
        ended = sum(problem is not None for _, _, _, problem in sessions)
        print(f"# {len(sessions)} sessions, {len(kills)} kills, {ended} ended with them, "
              f"{before_banner} of these before the banner")
        check(len(sessions) > 200, f"only {len(sessions)} sessions")
        check(before_banner <= 2 * len(kills), f"{before_banner} ended before the banner")
        check(len({worker for _, _, worker, _ in sessions if worker is not None}) > 1,
              "all sessions were of one worker")

    def a_worker_that_keeps_dying_is_started_later_and_later(self):
        gateway = self.gateway(workers=2)
        delays = []
        for _ in range(5):
            pid = wait_for(lambda: edges(gateway).get(0), "worker 0")
            os.kill(pid, signal.SIGKILL)
            begin = time.monotonic()
            wait_for(lambda old=pid: edges(gateway).get(0) not in (None, old), "its successor", 20)
            delays.append(time.monotonic() - begin)
            with connect(gateway) as client:
                check(send_over(client)[0] == 250, "the other worker did not serve")
        print("# started again after " + ", ".join(f"{delay * 1000:.0f}" for delay in delays) + " ms")
        check(delays[-1] > 0.3 and delays[-1] > delays[0], "the fifth restart came as fast as the first")
        check(status(gateway)["worker_deaths"] == 5, "the deaths were not counted")

    def a_stopped_worker_is_ended_and_replaced(self):
        gateway = self.gateway(settings='watchdog = "1s"')
        pid = edges(gateway)[0]
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: edges(gateway).get(0) not in (None, pid), "a new worker 0", 15)
        check(status(gateway)["worker_hangs"] == 1, "the hang was not counted")
        check("gave no sign of life" in log_text(gateway), "the log does not say so")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")

    def the_log_says_what_a_hanging_worker_ran(self):
        gateway = self.gateway(settings='watchdog = "1s"', files={"loop.lua": LOOP},
                               more='policy { "loop.lua", cpu = "10s" }')
        victim = smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=20)
        victim.ehlo("loop.test")
        victim.sock.sendall(b"MAIL FROM:<a@sender.test>\r\n")
        wait_for(lambda: "after it hung" in log_text(gateway), "the watchdog", 15)
        line = [line for line in log_text(gateway).splitlines() if "after it hung" in line][0]
        check("loop.lua" in line and "session" in line, f"it says: {line}")
        victim.close()
        wait_for(lambda: len(edges(gateway)) == 2, "two workers")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")

    # ---- reload ----

    def a_changed_option_leaves_open_sessions_alone(self):
        gateway = self.gateway(mx='greeting = "before"')
        old = connect(gateway)
        edit(gateway, '"before"', '"after"')
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"reload: {done.stderr}")
        check("generation 2" in done.stdout, f"reload said {done.stdout!r}")
        plain = socket.create_connection(("127.0.0.1", gateway.ports["mx"]), timeout=10)
        banner = plain.recv(200)
        plain.close()
        check(b"after" in banner, f"a new session is greeted with {banner!r}")
        check(send_over(old)[0] == 250, "the old session could not go on")
        old.quit()
        check(status(gateway)["generation"] == 2, "status does not name the generation")

    def a_policy_is_changed_for_new_sessions_only(self):
        gateway = self.gateway(files={"hello.lua": HELLO % "first"}, more='policy "hello.lua"')
        old = smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=10)
        gateway.write("hello.lua", HELLO % "second")
        check(postern(gateway, "reload").returncode == 0, "reload")
        check(b"first" in old.docmd("EHLO bad.test")[1], "the old session met the new policy")
        old.close()
        new = smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=10)
        check(b"second" in new.docmd("EHLO bad.test")[1], "the new session met the old policy")
        new.close()

    def a_wrong_configuration_changes_nothing(self):
        gateway = self.gateway(mx='greeting = "before"')
        before = edges(gateway)
        edit(gateway, 'greeting = "before"', 'greetign = "after"')
        done = postern(gateway, "reload")
        check(done.returncode == 1, f"reload ended with {done.returncode}")
        check("postern.lua:" in done.stderr and "greetign" in done.stderr and "greeting" in done.stderr,
              f"it says: {done.stderr}")
        check(edges(gateway) == before, "workers were replaced")
        check(status(gateway)["generation"] == 1, "the generation changed")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")
        edit(gateway, 'greetign = "after"', 'greeting = "after"')
        check(postern(gateway, "reload").returncode == 0, "the corrected one was not taken")

    def a_wrong_policy_changes_nothing(self):
        gateway = self.gateway(files={"hello.lua": HELLO % "first"}, more='policy "hello.lua"')
        gateway.write("hello.lua", 'on("client.hello", function(session)\n\tif then\nend)\n')
        done = postern(gateway, "reload")
        check(done.returncode == 1 and "hello.lua:2:" in done.stderr, f"it says: {done.stderr}")
        client = smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=10)
        check(b"first" in client.docmd("EHLO bad.test")[1], "the old policy is not in use")
        client.close()

    def listeners_come_and_go_by_reload(self):
        gateway = self.gateway()
        port = free_ports(["new"])["new"]
        line = f'listen {{ "127.0.0.1:{gateway.ports["lmtp"]}", to = "lmtp" }}'
        old = connect(gateway)
        edit(gateway, line, f'listen {{ "127.0.0.1:{port}", to = "lmtp" }}')
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"reload: {done.stderr}")
        with smtplib.LMTP("127.0.0.1", port, timeout=10) as client:
            client.ehlo("client.test")
            check(send_over(client)[0] == 250, "the new listener takes no mail")

        def is_gone():
            try:
                socket.create_connection(("127.0.0.1", gateway.ports["lmtp"]), timeout=5).close()
            except ConnectionRefusedError:
                return True
            return False
        wait_for(is_gone, "the old listener to be gone")
        check(send_over(old)[0] == 250, "an open session ended")
        old.close()

    def workers_are_replaced_without_a_refused_connection(self):
        gateway = self.gateway(workers=2, mx=WORKER_IN_BANNER,
                               store='module "store_local" { as = "local", segment_size = "1G" }')
        before = edges(gateway)
        clients = Clients(gateway)
        time.sleep(0.3)
        for old, new in (("1G", "2G"), ("2G", "3G"), ("3G", "4G")):
            edit(gateway, f'segment_size = "{old}"', f'segment_size = "{new}"')
            done = postern(gateway, "reload")
            check(done.returncode == 0, f"reload: {done.stderr}")
            time.sleep(0.3)
        wait_for(lambda: len(edges(gateway)) == 2 and not set(edges(gateway).values()) &
                 set(before.values()), "the new workers", 20)
        sessions = clients.stop()
        problems = [problem for _, _, _, problem in sessions if problem]
        print(f"# {len(sessions)} sessions during three replacements")
        check(len(sessions) > 100, f"only {len(sessions)} sessions")
        check(not problems, f"{len(problems)} sessions failed, the first: {problems[:1]}")

    def keys_that_do_not_fit_change_nothing(self):
        gateway = self.gateway(tls=True, workers=3)
        before = edges(gateway)
        clients = [connect(gateway) for _ in range(9)]
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        good, port = self.take_another_key(gateway), free_ports(["new"])["new"]
        for more in ("", f'listen {{ "127.0.0.1:{port}", to = "mx" }}\n'):
            gateway.write("postern.lua", text + more)
            done = postern(gateway, "reload")
            check(done.returncode == 1 and "key.pem" in done.stderr, f"it says: {done.stderr}")
        check(edges(gateway) == before, "workers were replaced")
        check(status(gateway)["generation"] == 1, "the generation changed")
        check(not answers_on(port), "the listener of what was refused is open")
        for client in clients:
            check(client.noop()[0] == 250, "a session ended")
            client.close()
        os.replace(good, os.path.join(gateway.directory, "key.pem"))
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"the good one was not taken: {done.stderr}")
        check(answers_on(port), "the new listener does not answer")

    def an_instance_that_was_never_started_gets_new_workers(self):
        gateway = self.gateway(tls=True)
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        good, port = self.take_another_key(gateway), free_ports(["new"])["new"]
        gateway.write("postern.lua", text + f'''
listen {{ "127.0.0.1:{port}", to = "second" }}
module "smtp" {{ as = "second", profile = "mx" }}
module "store_memory" {{ as = "unused" }}
''')
        check(postern(gateway, "reload").returncode == 1, "a wrong key was taken")
        before = set(edges(gateway).values())
        os.replace(good, os.path.join(gateway.directory, "key.pem"))
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"reload: {done.stderr}")
        wait_for(lambda: len(edges(gateway)) == 2 and not set(edges(gateway).values()) & before,
                 "workers that know the instance", 20)
        wait_for(lambda: answers_on(port), "the listener of the new instance")
        gateway.write("postern.lua", text)
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"the way back: {done.stderr}")
        wait_for(lambda: not answers_on(port), "the listener to be gone")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")
        check(status(gateway)["worker_deaths"] == 0, "a worker died")

    def a_setting_that_workers_keep_gets_new_workers(self):
        gateway = self.gateway()
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        before = set(edges(gateway).values())
        log = os.path.join(gateway.directory, "elsewhere.log")
        gateway.write("postern.lua", text + f'\nlog_file = "{log}"\n')
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"reload: {done.stderr}")
        wait_for(lambda: len(edges(gateway)) == 2 and not set(edges(gateway).values()) & before,
                 "workers with the new setting", 20)
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")
        wait_for(lambda: os.path.exists(log) and "accepted" in open(log, encoding="utf-8").read(),
                 "the log in its new place")
        kept = set(edges(gateway).values())
        gateway.write("postern.lua", text + f'\nlog_file = "{log}"\nmax_hops = 40\n')
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"a reloadable setting was refused: {done.stderr}")
        check(set(edges(gateway).values()) == kept, "a reloadable setting replaced workers")

    def a_renewed_certificate_is_for_the_next_reload(self):
        gateway = self.gateway(tls=True, workers=1)
        path = os.path.join(gateway.directory, "certificate.pem")
        old = shown_certificate(gateway)
        make_certificate(gateway.directory)
        with open(path, encoding="ascii") as file:
            renewed = file.read()
        gateway.write("certificate.pem", f"{renewed}some text\n{renewed}")  # a chain of two
        pid = edges(gateway)[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: edges(gateway).get(0) not in (None, pid), "its successor")
        check(shown_certificate(gateway) == old, "a worker that was started again has another one")
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"reload: {done.stderr}")
        check(shown_certificate(gateway) == ssl.PEM_cert_to_DER_cert(renewed),
              "the new one is not shown")
        shown = subprocess.run(["openssl", "s_client", "-showcerts", "-connect",
                                f"127.0.0.1:{gateway.ports['submissions']}"], input="",
                               capture_output=True, text=True, check=False, timeout=20).stdout
        check(shown.count("BEGIN CERTIFICATE") >= 2, "the chain is not shown whole")
        torn = renewed + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        for text in (torn, "nothing\n", "", None):
            if text is None:
                os.unlink(path)
            else:
                gateway.write("certificate.pem", text)
            done = postern(gateway, "reload")
            check(done.returncode == 1 and "certificate.pem" in done.stderr,
                  f"with {str(text)[-60:]!r} it says: {done.stderr}")
        check(shown_certificate(gateway) == ssl.PEM_cert_to_DER_cert(renewed),
              "what was refused is shown")

    # ---- starts that must fail ----

    def a_second_gateway_on_the_same_data_is_refused(self):
        gateway = self.gateway()
        second = self.gateway(start=False, data=os.path.join(gateway.directory, "data"))
        serve_fails(second, r"another gateway runs on .*/data: stop it first \(postern stop\)")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "the first one does not serve any more")

    def a_port_in_use_is_refused(self):
        gateway = self.gateway(start=False)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", gateway.ports["pop3"]))
            taken.listen()
            serve_fails(gateway, f"127.0.0.1:{gateway.ports['pop3']}.*in use")

    def keys_that_do_not_fit_are_refused(self):
        gateway = self.gateway(start=False, tls=True)
        other = self.gateway(start=False, tls=True)
        key = os.path.join(gateway.directory, "key.pem")
        os.replace(os.path.join(other.directory, "key.pem"), key)
        serve_fails(gateway, r"key\.pem.*(match|belong)")
        with open(key, "w", encoding="ascii") as file:
            file.write("this is no key\n")
        serve_fails(gateway, r"key\.pem")
        os.unlink(key)
        serve_fails(gateway, r"cannot read the private key .*key\.pem.*No such file")

    def a_policy_with_a_syntax_error_is_refused(self):
        gateway = self.gateway(start=False, more='policy "broken.lua"',
                               files={"broken.lua": "-- first line\non(\"client.hello\" function() end)\n"})
        serve_fails(gateway, r"broken\.lua:2:")

    def a_policy_with_a_loop_defers_its_message_only(self):
        gateway = self.gateway(files={"loop.lua": LOOP}, more='policy { "loop.lua", cpu = "20ms" }')
        with smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=10) as client:
            client.ehlo("loop.test")
            code, text = client.docmd("MAIL FROM:<a@sender.test>")
            check(400 <= code < 500, f"the loop was answered with {code} {text}")
        wait_for(lambda: "loop.lua:4: used more than 20 ms of processor time" in log_text(gateway),
                 "the log says why")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "others are not served")
        check(status(gateway)["worker_deaths"] == 0, "a worker died of it")

    def a_damaged_index_is_refused(self):
        gateway = self.gateway()
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")
        gateway.stop()
        path = os.path.join(gateway.directory, "data", "local", "index", "data.mdb")
        with open(path, "r+b") as file:
            file.write(b"\xa5" * 8192)
        serve_fails(gateway, r"index", r"rebuild")
        done = postern(gateway, "store", "rebuild")
        check(done.returncode == 0, f"rebuild: {done.stdout} {done.stderr}")
        gateway.start()
        check(self.count_mail(gateway) == 1, "the message did not come back")

    def a_damaged_segment_is_named_and_its_neighbours_are_served(self):
        gateway = self.gateway()
        with connect(gateway) as client:
            for number in range(5):
                check(send_over(client, f"subject-number-{number}")[0] == 250, "no mail is taken")
        gateway.stop()
        folder = os.path.join(gateway.directory, "data", "local", "segments")
        damaged = 0
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "r+b") as file:
                text = file.read()
                at = text.rfind(b"subject-number-2")  # the summary before it says it too
                if at >= 0:
                    file.seek(at)
                    file.write(b"subject-number-X")
                    damaged += 1
        check(damaged == 1, "the message was not found in the segments")
        done = postern(gateway, "store", "verify")
        check(done.returncode == 1 and "DAMAGE" in done.stdout, f"verify: {done.stdout} {done.stderr}")
        gateway.start()
        replies = self.retrieve_all(gateway)
        check([reply[:3] for reply in replies] == ["+OK", "+OK", "-ER", "+OK", "+OK"],
              f"RETR answered {replies}")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken any more")

    # ---- the rest ----

    def retrieve_all(self, gateway):
        """The first lines of the answers to RETR, for each message of alice."""
        import poplib
        client = poplib.POP3("127.0.0.1", gateway.ports["pop3"], timeout=10)
        client.user(f"alice@{DOMAIN}")
        client.pass_(PASSWORD)
        replies = []
        for number in range(1, client.stat()[0] + 1):
            try:
                replies.append(client.retr(number)[0].decode())
            except poplib.error_proto as error:
                replies.append(error.args[0].decode())
        client.quit()
        return replies

    def count_mail(self, gateway):
        return sum(reply.startswith("+OK") for reply in self.retrieve_all(gateway))

    def mail_flows_when_the_clock_is_set_back(self):
        gateway = self.gateway(start=False)
        source = os.path.join(HERE, "clock.c")
        shim = os.path.join(gateway.directory, "clock.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
        offset = os.path.join(gateway.directory, "offset")
        gateway.write("offset", "0\n")
        gateway.environment.update(LD_PRELOAD=shim, CLOCK_OFFSET_FILE=offset)
        gateway.start()
        views, messages = [], []
        for seconds in (0, -86400 * 400, 3600, -86400 * 4000):
            gateway.write("offset", f"{seconds}\n")
            with connect(gateway) as client:
                for _ in range(3):
                    code, text = send_over(client)
                    check(code == 250, f"clock at {seconds}: {code} {text}")
                    messages.append(text.split()[-1])
            views.append(self.count_mail(gateway))
        check(views == [3, 6, 9, 12], f"messages after each change of the clock: {views}")
        gateway.stop()
        gateway.start()  # the years between the two are still missing
        with connect(gateway) as client:
            code, text = send_over(client)
            check(code == 250, "no mail is taken after a start in the past")
            messages.append(text.split()[-1])
        check(self.count_mail(gateway) == 13, "mail is missing after a start in the past")
        exported = os.path.join(gateway.directory, "export")
        gateway.stop()
        # Now the log is whole. Each worker has a thread that writes: its lines come in no order of all.
        found = {event["transaction"]: event["recipients"][0]["uid"] for event in
                 map(json.loads, (line for line in log_text(gateway).splitlines() if '"uid":' in line))}
        uids = [found.get(each, 0) for each in messages]
        check(len(uids) == 13 and uids == sorted(set(uids)), f"the UIDs do not grow: {uids}")
        check(postern(gateway, "store", "verify").returncode == 0, "verify found damage")
        done = postern(gateway, "store", "export", "--output", exported)
        check(done.returncode == 0, f"export: {done.stderr}")

    def the_gateway_takes_as_many_descriptors_as_it_may(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            gateway = self.gateway(settings="max_sessions_per_address = 2000")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for pid in edges(gateway).values():
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            check(limits[0] == limits[1] >= hard, f"a worker may have {limits}")
            # Now it has little room left: no more sessions are taken than fit.
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (600, 600))
        check(postern(gateway, "reload").returncode == 0, "reload")
        clients = []
        for _ in range(800):
            client = socket.create_connection(("127.0.0.1", gateway.ports["mx"]), timeout=20)
            clients.append(client)
        wait_for(lambda: "only 344 are taken" in log_text(gateway), "the warning")
        for client in clients[:688]:
            check(client.recv(1) == b"2", "one that should be served")
        for client in clients:
            client.close()
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "mail after they left")

    def workers_drop_all_privileges(self):
        check(os.geteuid() == 0, "this test needs root")
        gateway = self.gateway(start=False, user="nobody", settings='group = "nogroup"')
        for path in (gateway.directory, os.path.join(gateway.directory, "users"), gateway.config):
            os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
        gateway.start()
        for worker in status(gateway)["workers"]:
            with open(f"/proc/{worker['pid']}/status", encoding="ascii") as file:
                facts = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            name = f"{worker['kind']} {worker['number']}"
            check(facts["Uid"].split() == ["65534"] * 4, f"{name}: Uid {facts['Uid']}")
            check(facts["Gid"].split() == ["65534"] * 4, f"{name}: Gid {facts['Gid']}")
            check(facts["Groups"].strip() in ("", "65534"), f"{name}: Groups {facts['Groups']}")
            check(facts["NoNewPrivs"].strip() == "1", f"{name}: NoNewPrivs {facts['NoNewPrivs']}")
            for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                check(int(facts[kind], 16) == 0, f"{name}: {kind} {facts[kind]}")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")
        check(self.count_mail(gateway) == 1, "the message cannot be read")
        pid = edges(gateway)[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: edges(gateway).get(0) not in (None, pid), "a worker started later")
        check(postern(gateway, "reload").returncode == 0, "reload without privileges")

    def status_reload_and_stop_talk_to_the_gateway(self):
        gateway = self.gateway()
        done = postern(gateway, "status")
        check(done.returncode == 0 and "serving: yes" in done.stdout and "edge" in done.stdout,
              f"status: {done.stdout}")
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.ports['control']}/health",
                                    timeout=10) as answer:
            check(answer.status == 200, "the gateway is not healthy")
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.ports['control']}/metrics",
                                    timeout=10) as answer:
            check(b"postern_messages_accepted_total" in answer.read(), "metrics are missing")
        check(postern(gateway, "reload").returncode == 0, "reload of what did not change")
        done = postern(gateway, "stop")
        check(done.returncode == 0, f"stop: {done.stderr}")
        check(gateway.process.wait(10) == 0, "the gateway did not end with 0")
        done = postern(gateway, "status")
        check(done.returncode == 1 and "no gateway answers" in done.stderr, f"status: {done.stderr}")

    def sigterm_ends_it_with_sessions_open(self):
        gateway = self.gateway(settings="", mx="")
        idle = connect(gateway)
        halfway = connect(gateway)
        halfway.docmd("MAIL FROM:<a@sender.test>")
        halfway.docmd(f"RCPT TO:<alice@{DOMAIN}>")
        halfway.docmd("DATA")
        halfway.sock.sendall(b"Subject: x\r\n\r\nnot the end")
        gateway.process.send_signal(signal.SIGTERM)
        code = gateway.process.wait(20 * SLOWNESS)
        check(code == 0, f"it ended with {code}")
        check(idle.getreply()[0] == 421, "an idle session was not told")
        halfway.close()
        gateway.start()
        check(self.count_mail(gateway) == 0, "half a message was taken")

    def it_ends_while_a_login_is_checked(self):
        # The hash fits no password and takes its seconds all the same.
        slow = SHA512.replace("rounds=1000", "rounds=9000000")
        gateway = self.gateway(start=False, workers=1, users=f"alice@{DOMAIN}:{slow}:\n")
        edit(gateway, 'stop_grace = "2s"', 'stop_grace = "200ms"')
        gateway.start()
        pid = edges(gateway)[0]
        client = connect(gateway, "submission")
        before = processor_seconds(pid)
        proof = base64.b64encode(f"\0alice@{DOMAIN}\0{PASSWORD}".encode())
        client.sock.sendall(b"AUTH PLAIN " + proof + b"\r\n")
        wait_for(lambda: processor_seconds(pid) > before + 0.1, "the login to be at work")
        gateway.stop()
        client.close()

    def a_history_without_room_loses_its_own_lines_only(self):
        check(os.geteuid() == 0, "this test needs root")
        gateway = self.gateway(start=False, workers=1)
        folder = os.path.join(gateway.directory, "data", "history")
        os.mkdir(folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", folder], check=True)
        try:
            gateway.start()
            self.fill_and_free_the_history(gateway, folder)
            gateway.stop()
        finally:
            gateway.kill()
            subprocess.run(["umount", folder], check=True)

    def fill_and_free_the_history(self, gateway, folder):
        """The history before, while, and after it has no room, and after a crash in its middle."""
        def accepted():
            with connect(gateway) as client:
                code, text = send_over(client)
                check(code == 250, f"{code} {text}")
                return text.split()[-1]

        def is_known(message):
            return postern(gateway, "explain", message).returncode == 0
        first = accepted()
        wait_for(lambda: is_known(first), "the first one in the history")
        filler = os.path.join(folder, "filler")
        room = os.statvfs(folder)
        with open(filler, "wb", buffering=0) as file:
            file.write(b"x" * (room.f_bavail * room.f_bsize))
        last = [accepted() for _ in range(12)][-1]
        wait_for(lambda: last in log_text(gateway), "the log, which is written after the history")
        os.unlink(filler)
        for message in [accepted() for _ in range(5)]:
            wait_for(lambda each=message: is_known(each), "one that came when there was room again")
        check(is_known(first), "the first one is lost")
        wait_for(lambda: "lost" in log_text(gateway), "a word of it in the log")
        for name in os.listdir(folder):
            if "edge" in name:
                with open(os.path.join(folder, name), "ab") as file:
                    file.write(b'{"half' if name.endswith(".jsonl") else b"abc")
        pid = edges(gateway)[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: edges(gateway).get(0) not in (None, pid), "a worker after the crash")
        for message in [accepted() for _ in range(3)]:
            wait_for(lambda each=message: is_known(each), "one that came after the crash")

    def explain_tells_of_accepted_and_refused_mail(self):
        policy = HELLO % "no" + """
on("envelope.recipient", function(session, recipient)
	if recipient.address == "bob@example.test" then
		return reject(550, "5.7.1", "bob wants no mail")
	end
end)
"""
        gateway = self.gateway(files={"judge.lua": policy}, more='policy "judge.lua"')
        with connect(gateway) as client:
            code, text = send_over(client)
            check(code == 250, f"{code} {text}")
            accepted = text.split()[-1]
            code, text = send_over(client, recipient=f"bob@{DOMAIN}")
            check(code == 550, f"bob was answered with {code} {text}")
        done = wait_for(lambda: (lambda d: d if d.returncode == 0 else None)(
            postern(gateway, "explain", accepted)), "the history", 5)
        for word in ("alice@example.test", "envelope.recipient", "judge.lua", " us"):
            check(word in done.stdout, f"explain of the accepted one lacks {word!r}: {done.stdout}")
        check("judge.lua:" in done.stdout, f"no line is named: {done.stdout}")
        session = [line.split()[-1] for line in done.stdout.splitlines() if "session:" in line]
        check(session, f"no session is named: {done.stdout}")
        refused = wait_for(lambda: (lambda d: d if "bob wants no mail" in d.stdout else None)(
            postern(gateway, "explain", session[0])), "the refused one in the history", 5)
        check("reject" in refused.stdout and "judge.lua:" in refused.stdout,
              f"explain of the refused one says: {refused.stdout}")
        done = postern(gateway, "explain", "nosuchid")
        check(done.returncode == 1 and "knows nothing of" in done.stderr, f"{done.stderr}")

    def a_crash_at_every_start_keeps_the_master_calm(self):
        gateway = self.gateway(workers=1)
        pid = edges(gateway)[0]
        os.rename(os.path.join(gateway.directory, "users"), os.path.join(gateway.directory, "away"))
        path = os.path.join(gateway.directory, "data", "local", "segments")
        os.rename(path, path + ".away")
        with open(path, "w", encoding="ascii"):
            pass
        os.kill(pid, signal.SIGKILL)
        time.sleep(1.5)
        used = processor_seconds(gateway.process.pid)
        check(used < 0.5 * SLOWNESS, f"the master used {used:.2f} s of the processor")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{gateway.ports['control']}/health", timeout=10)
            raise Failure("/health says that all is well")
        except urllib.error.HTTPError as error:
            check(error.code == 503, f"/health answers {error.code}")
        os.unlink(path)
        os.rename(path + ".away", path)
        os.rename(os.path.join(gateway.directory, "away"), os.path.join(gateway.directory, "users"))
        wait_for(lambda: edges(gateway), "a worker after the trouble", 20)
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")


def run_one(tests, name):
    """One test: what went wrong, or None."""
    tests.gateways = []
    problem = None
    try:
        getattr(tests, name)()
        for gateway in tests.gateways:
            if gateway.process is not None and gateway.process.poll() is None:
                gateway.stop()
            check(not gateway.findings(), f"a sanitizer says {gateway.findings()[:1]}")
    except (Failure, GatewayError, OSError, smtplib.SMTPException, subprocess.SubprocessError) as error:
        problem = str(error) or repr(error)
    except Exception:
        problem = traceback.format_exc()
    for gateway in tests.gateways:
        if problem is not None:
            problem += "\nthe log ends with\n" + gateway.log_tail(20) + f"in {gateway.directory}"
            gateway.kill()
        else:
            gateway.remove()
    return problem


def main():
    """Runs the tests in their order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    print(f"# seed {arguments.seed}", flush=True)
    tests = Tests(arguments.build, arguments.seed)
    known = ("gateway", "ask_pages", "shipped", "retrieve_all", "count_mail", "take_another_key", "fill_and_free_the_history")
    failed = 0
    for name, value in (*vars(Tests).items(), *vars(QueueTests).items(),
                        *vars(PolicyTests).items(), *vars(PoisonTests).items(),
                        *vars(ControlTests).items(), *vars(ProxyTests).items(),
                        *vars(TlsTests).items(), *vars(LayerTests).items(),
                        *vars(ConfinementTests).items(), *vars(PressureTests).items(),
                        *vars(ManagerTests).items()):
        if name.startswith("_") or name in known or not callable(value) or hasattr(value, "is_helper"):
            continue
        if arguments.names and not any(word in name for word in arguments.names):
            continue
        problem = run_one(tests, name)
        print(("ok " if problem is None else "not ok ") + name, flush=True)
        if problem is not None:
            failed += 1
            print("\n".join("# " + line for line in problem.splitlines()), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
