# SPDX-License-Identifier: Apache-2.0
"""Under pressure: clients that want too much, too fast, or never come to an end. Clients have any
address here: they come through a balancer that says so (PROXY protocol)."""

import base64
import imaplib
import mmap
import os
import re
import resource
import select
import socket
import ssl
import struct
import subprocess
import time
import urllib.request

from support import (DOMAIN, HERE, PASSWORD, check, connect, edges, edit, log_text, postern, processor_seconds,
                     send_over, shown_certificate, wait_for)

BEHIND = 'proxies = {{ "127.0.0.1" }}, to'
WORKER = "banner_worker = true"
TOO_MANY = "421 too many connections from your address\r\n"


class Visitor:
    """A client with an address of its own."""

    def __init__(self, gateway, address, port="mx"):
        self.socket = socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        family, other = ("TCP6", "2001:db8:ffff::25") if ":" in address else ("TCP4", "203.0.113.25")
        self.socket.sendall(f"PROXY {family} {address} {other} 4711 25\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.banner = self.line()

    def line(self):
        return self.file.readline().decode()

    def ask(self, text):
        """Says it, and returns the last line of the answer."""
        self.socket.sendall(text.encode() + b"\r\n")
        answer = self.line()
        while answer[3:4] == "-":
            answer = self.line()
        return answer

    def worker(self):
        found = re.search(r" worker (\d+)", self.banner)
        return found and int(found.group(1))

    def is_silent(self):
        """Whether nothing has come that was not read."""
        return not select.select([self.socket], [], [], 0)[0]

    def close(self):
        self.file.close()
        self.socket.close()


def metric(gateway, name):
    """The sum over all workers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.ports['control']}/metrics", timeout=20) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"postern_{name}{{", f"postern_{name} ")))


class PressureTests:
    """Mixed into Tests."""

    def _behind_a_proxy(self, *listeners, **options):
        gateway = self.gateway(start=False, **options)
        for name in listeners or ("mx",):
            port = gateway.ports[name]
            edit(gateway, f'"127.0.0.1:{port}", to', f'"127.0.0.1:{port}", ' + BEHIND.format())
        gateway.start()
        return gateway

    # ---- how much a client, an account, a tenant may have ----

    def sessions_of_a_client_are_counted_over_all_workers(self):
        gateway = self._behind_a_proxy("mx", "imap", "pop3", workers=3, mx=WORKER,
                                       settings="max_sessions_per_address = 12")
        for own, others, stranger in (
                ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
                ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1")):
            visitors = [Visitor(gateway, own if number % 2 else others) for number in range(12)]
            check(all(each.banner.startswith("220 ") for each in visitors),
                  f"not all were taken: {[each.banner for each in visitors]}")
            check(len({each.worker() for each in visitors}) > 1, "all are one worker's")
            for port, said in (("mx", TOO_MANY), ("imap", "* BYE " + TOO_MANY[4:]),
                               ("pop3", "-ERR [SYS/TEMP] " + TOO_MANY[4:])):
                late = Visitor(gateway, others, port)
                check(late.banner == said and late.line() == "", f"one more was told {late.banner!r}")
                late.close()
            other = Visitor(gateway, stranger)
            check(other.banner.startswith("220 "), f"a stranger was told {other.banner!r}")
            other.close()
            visitors.pop().close()

            def has_room():
                visitors.append(Visitor(gateway, own))
                return visitors[-1].banner.startswith("220 ")
            wait_for(has_room, "the place of the one that left")
            for each in visitors:
                each.close()
        wait_for(lambda: metric(gateway, "turned_away_total") >= 6, "the count of those turned away")

    def _login(self, gateway, port, name):
        """A session that is logged in, and how that was answered."""
        visitor = Visitor(gateway, "192.0.2.9", port)
        if port == "pop3":
            visitor.ask(f"USER {name}@{DOMAIN}")
            return visitor, visitor.ask(f"PASS {PASSWORD}")
        if port == "imap":
            return visitor, visitor.ask(f"a LOGIN {name}@{DOMAIN} {PASSWORD}")
        visitor.ask("EHLO c.test")
        visitor.ask("AUTH LOGIN")
        visitor.ask(base64.b64encode(f"{name}@{DOMAIN}".encode()).decode())
        return visitor, visitor.ask(base64.b64encode(PASSWORD.encode()).decode())

    def sessions_of_an_account_and_of_a_tenant_are_counted_over_all_workers(self):
        gateway = self._behind_a_proxy("submission", "imap", "pop3", workers=3, settings=(
            "max_sessions_per_account = 3\nmax_sessions_per_tenant = 5"), **{
                name: 'plaintext_login = "always"' for name in ("submission", "imap", "pop3")})
        good = {"pop3": "+OK", "imap": "a OK", "submission": "235"}
        bad = {"pop3": "-ERR [SYS/TEMP]", "imap": "a NO [UNAVAILABLE]", "submission": "421 4.7.0"}
        open_ones = []
        for port in ("submission", "imap", "submission"):
            visitor, answer = self._login(gateway, port, "alice")
            check(answer.startswith(good[port]), f"{port}: {answer!r}")
            open_ones.append(visitor)
        for port, sign in bad.items():
            visitor, answer = self._login(gateway, port, "alice")
            check(answer == sign + " too many connections of this account\r\n", f"{port}: {answer!r}")
            visitor.close()
        for port in ("imap", "submission"):
            visitor, answer = self._login(gateway, port, "bob")
            check(answer.startswith(good[port]), f"{port}: {answer!r}")
            open_ones.append(visitor)
        for port, sign in bad.items():
            visitor, answer = self._login(gateway, port, "bob")
            check(answer == sign + " too many connections of this domain\r\n", f"{port}: {answer!r}")
            visitor.close()
        open_ones.pop(0).close()

        def has_room():
            visitor, answer = self._login(gateway, "imap", "carol")
            open_ones.append(visitor)
            return answer.startswith("a OK")
        wait_for(has_room, "the place of the one that left")
        for each in open_ones:
            each.close()

    # ---- how often ----

    def new_sessions_of_a_client_have_a_rate(self):
        gateway = self._behind_a_proxy(workers=3, mx=WORKER, settings=(
            'max_new_sessions_per_address = 6\nnetworks_without_rates = { "192.0.2.128/25" }'))
        often = "421 your address connects too often, come again in a minute\r\n"
        for addresses in (["192.0.2.1"] * 4, ["2001:db8:1:2::" + end for end in "1234"]):
            visitors = [Visitor(gateway, address) for address in addresses]
            check([each.banner[:4] for each in visitors[:3]] == ["220 "] * 3, "three were to be taken")
            check(visitors[3].banner == often, f"one more was told {visitors[3].banner!r}")
            check(visitors[3].line() == "", "it was not closed")
            for each in visitors:
                each.close()
        for address in ["192.0.2.2"] + ["192.0.2.128"] * 7 + ["2001:db8:1:3::1"]:
            visitor = Visitor(gateway, address)
            check(visitor.banner.startswith("220 "), f"{address} was told {visitor.banner!r}")
            visitor.close()

    def commands_of_a_client_have_a_rate(self):
        gateway = self._behind_a_proxy(workers=2, mx=WORKER, settings=(
            'max_commands_per_address = 120\nnetworks_without_rates = { "192.0.2.128/25" }'))
        visitors = []
        while len({each.worker() for each in visitors}) < 2:
            visitors.append(Visitor(gateway, "192.0.2.1"))
        for each in visitors[1:-1]:
            each.close()
        pair = (visitors[0], visitors[-1])
        begin = time.monotonic()
        for each in pair:
            each.socket.sendall(31 * b"NOOP\r\n")
        # Sixty come at once, the others each a second later.
        other = Visitor(gateway, "192.0.2.2")
        for _ in range(60):
            check(other.ask("NOOP").startswith("250 "), "another client has to wait, too")
        trusted = Visitor(gateway, "192.0.2.129")
        for _ in range(130):
            check(trusted.ask("NOOP").startswith("250 "), "one without a rate")
        for each in pair:
            for _ in range(31):
                check(each.line().startswith("250 "), "a command was lost")
        check(time.monotonic() - begin >= 1.9, "nobody had to wait")
        for each in (*pair, other, trusted):
            each.close()

    # ---- how long ----

    def whoever_dribbles_is_gone_by_the_deadline(self):
        gateway = self.gateway(tls=True, settings=(
            'tls_handshake_deadline = "700ms"\nmin_output_rate = "1M"\noutput_rate_window = "700ms"'),
            mx='command_timeout = "700ms", min_data_rate = "10k", data_rate_window = "700ms", '
               'data_timeout = "1h", max_message_size = "1G"',
            submission='command_timeout = "700ms"')
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        waiting = []

        def begin(name, port, lines=(), piece=b"x", wrap=False):
            line = socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=60)
            if wrap:
                line = context.wrap_socket(line)
            with line.makefile("rb") as file:
                if wrap or port == "mx":
                    file.readline()
                for text in lines:
                    line.sendall(text + b"\r\n")
                    while file.readline()[3:4] == b"-":
                        pass
            waiting.append((name, line, piece))

        envelope = (b"EHLO c.test", b"MAIL FROM:<a@sender.test>", b"RCPT TO:<alice@example.test>")
        begin("command", "mx")
        begin("second command", "mx", (b"NOOP",))
        begin("hello", "mx", piece=b"E")
        begin("message", "mx", envelope + (b"DATA",))
        begin("handshake", "submissions", piece=b"\x16")
        begin("records", "submissions", wrap=True)
        # A chunk is not answered before it is whole.
        begin("chunk", "mx", envelope)
        waiting[-1][1].sendall(b"BDAT 100000000 LAST\r\n")
        left = dict((name, line) for name, line, _ in waiting)
        said = dict((name, b"") for name in left)

        def all_are_gone():
            for name, line, piece in waiting:
                if name not in left:
                    continue
                try:
                    line.sendall(piece)
                    line.settimeout(0.01)
                    more = line.recv(4096)
                    said[name] += more
                    if not more:
                        del left[name]
                except (TimeoutError, ssl.SSLWantReadError):
                    pass
                except (ConnectionError, ssl.SSLError, BrokenPipeError):
                    del left[name]
            return not left
        wait_for(all_are_gone, "the end of those that dribble", 15)
        for name, text in said.items():
            if name not in ("handshake",):
                check(b"421 4.4.2" in text or text == b"", f"{name} was told {text!r}")
        check(b"421 4.4.2 timeout" in said["command"] + said["second command"] + said["hello"],
              f"nobody was told why: {said}")
        for _, line, _ in waiting:
            line.close()

    def a_client_that_takes_its_answers_too_slowly_is_left(self):
        gateway = self.gateway(workers=1, settings='min_output_rate = "1M"\noutput_rate_window = "500ms"',
                               mx="max_commands = 1000000")

        def open_one():
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(60)
            line.connect(("127.0.0.1", gateway.ports["mx"]))
            line.setblocking(False)
            return line

        slow, quick = open_one(), open_one()
        unsaid = {slow: 20000 * b"EHLO c.test\r\n", quick: 20000 * b"EHLO c.test\r\n"}
        left = []

        def has_left():
            # The one takes a little again and again, the other all there is.
            for line in unsaid:
                try:
                    if line not in left and unsaid[line]:
                        unsaid[line] = unsaid[line][line.send(unsaid[line]):]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    left.append(line)
                try:
                    while line not in left:
                        if not line.recv(2048 if line is slow else 1 << 20):
                            left.append(line)
                        if line is slow:
                            break
                except BlockingIOError:
                    pass
                except ConnectionError:
                    left.append(line)
            check(quick not in left, "the quick one was left")
            return slow in left and not unsaid[quick]
        wait_for(has_left, "the end of the slow one", 30)
        quick.setblocking(True)
        quick.settimeout(60)
        quick.sendall(b"QUIT\r\n")
        text = b""
        while more := quick.recv(1 << 20):
            text = text[-100:] + more
        check(b"221 " in text, f"the quick one was told {text[-200:]!r}")

    def those_who_earn_it_wait_and_hold_up_nobody(self):
        gateway = self._behind_a_proxy(workers=1, mx='soft_errors = 2, max_errors = 4, error_delay = "1s"', files={
            "slow.lua": 'on("client.hello", function(session)\n\tif session.hello == "slow.test" then\n'
                        '\t\tsleep("1s")\n\t\treturn reject(550, "5.7.1", "at last")\n\tend\nend)\n'},
            more='policy "slow.lua"')
        bad, slow, good = (Visitor(gateway, f"192.0.2.{number}") for number in (1, 2, 3))
        begin = time.monotonic()
        bad.socket.sendall(2 * b"JUNK\r\n" + b"NOOP\r\n")
        for sign in ("500", "500", "250"):
            check(bad.line().startswith(sign), "what was asked before the limit")
        bad.socket.sendall(b"JUNK\r\nNOOP\r\n")
        slow.socket.sendall(b"EHLO slow.test\r\n")
        for _ in range(20):
            check(good.ask("NOOP").startswith("250 "), "another one has to wait")
        check(bad.is_silent() and slow.is_silent() or time.monotonic() - begin > 1, "nobody waits")
        check(bad.line().startswith("500 "), "the third mistake")
        check(time.monotonic() - begin >= 0.99, "the third mistake cost nothing")
        check(bad.line().startswith("250 "), "what was asked meanwhile was lost")
        check(slow.line() == "550 at last\r\n", "the answer of the policy")
        check(time.monotonic() - begin >= 0.99, "the policy did not make anybody wait")
        check(bad.ask("JUNK").startswith("500 "), "the fourth mistake")
        check(bad.ask("JUNK").startswith("421 "), "the fifth mistake")
        check(bad.line() == "", "it was not closed")
        for each in (bad, slow, good):
            each.close()

    # ---- too much to do ----

    def a_gateway_that_is_full_says_so_at_once(self):
        gateway = self.gateway(workers=2, tls=True, mx=WORKER, settings="max_sessions = 10")
        busy = b"421 too busy, come again later\r\n"
        clients = []
        for _ in range(20):
            clients.append(connect(gateway))
        for port, said in (("mx", busy), ("imap", b"* BYE " + busy[4:]), ("pop3", b"-ERR [SYS/TEMP] " + busy[4:]),
                           ("submissions", b"")):
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=60) as line:
                    with line.makefile("rb") as file:
                        told = file.read()
                check(told == said, f"{port}: one more was told {told!r}")
        check(metric(gateway, "workers_full") == 2, "not both workers are full")
        for client in clients:
            check(send_over(client)[0] == 250, "work in hand does not go on")
        clients.pop().close()

        def is_taken():
            with socket.create_connection(("127.0.0.1", gateway.ports["mx"]), timeout=60) as line:
                return line.recv(3) == b"220"
        wait_for(is_taken, "the place of the one that left")
        for client in clients:
            client.close()
        wait_for(lambda: metric(gateway, "workers_full") == 0, "places")

    def too_much_memory_turns_new_clients_away_until_there_is_less(self):
        gateway = self.gateway(workers=2, settings='overload_memory = "64G"')
        client = connect(gateway)
        check(send_over(client)[0] == 250, "mail before")
        edit(gateway, '"64G"', '"1M"')
        check(postern(gateway, "reload").returncode == 0, "reload")

        def greeting():
            with socket.create_connection(("127.0.0.1", gateway.ports["mx"]), timeout=60) as line:
                return line.makefile("rb").readline()
        wait_for(lambda: greeting() == b"421 too busy, come again later\r\n", "a refusal")
        check(send_over(client)[0] == 250, "work in hand does not go on")
        edit(gateway, '"1M"', '"64G"')
        check(postern(gateway, "reload").returncode == 0, "reload")
        wait_for(lambda: greeting().startswith(b"220 "), "a greeting")
        wait_for(lambda: metric(gateway, "workers_full") == 0, "all workers to serve")
        text = log_text(gateway)
        check("new connections are turned away" in text and "new connections are taken again" in text,
              "the log does not tell")
        client.close()

    def when_places_are_scarce_strangers_have_less_time(self):
        gateway = self.gateway(workers=1, settings='max_sessions = 10\nhurried_deadline = "500ms"')
        user = connect(gateway, "submission")
        user.login(f"alice@{DOMAIN}", PASSWORD)
        sender = connect(gateway)
        for command in ("MAIL FROM:<a@sender.test>", f"RCPT TO:<alice@{DOMAIN}>", "DATA"):
            sender.docmd(command)
        idle = [connect(gateway) for _ in range(4)]
        # Whoever begins to wait before and after places become scarce.
        more = [connect(gateway) for _ in range(3)]
        for client in idle + more:
            check(client.getreply()[0] == 421, "one that idles was not told to go")
        check(user.noop()[0] == 250, "who logged in has to go, too")
        sender.send(b"Subject: x\r\n\r\nhello\r\n.\r\n")
        check(sender.getreply()[0] == 250, "who sends a message has to go, too")
        late = connect(gateway)
        check(late.noop()[0] == 250, "there is no time now")
        for client in (user, sender, late, *idle, *more):
            client.close()

    # ---- TLS ----

    def slow_handshakes_make_room_and_hold_up_nobody(self):
        gateway = self.gateway(workers=1, tls=True, settings=(
            'max_tls_handshakes = 2\ntls_handshake_deadline = "10m"'))
        slow = [socket.create_connection(("127.0.0.1", gateway.ports["submissions"]), timeout=60)
                for _ in range(4)]
        for line in slow:
            line.sendall(b"\x16\x03\x01")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "a client without TLS")
        check(shown_certificate(gateway), "a client with TLS")
        gone = 0
        for line in slow:
            line.setblocking(False)
            try:
                gone += line.recv(1) == b""
            except ConnectionError:
                gone += 1
            except BlockingIOError:
                pass
        check(gone >= 3, f"{gone} of four slow ones made room")
        for line in slow:
            line.close()

    # ---- descriptors ----

    def without_descriptors_connections_wait_and_the_rest_goes_on(self):
        gateway = self.gateway(workers=1, store='module "store_local" { as = "local", segment_size = "1M" }',
                               settings='memory_per_message = "64k"')
        pid = edges(gateway)[0]
        client = connect(gateway)
        message = "From: <a@sender.test>\r\nSubject: x\r\n\r\n" + 4000 * (70 * "x" + "\r\n")

        def send_large():
            for command in ("MAIL FROM:<a@sender.test>", f"RCPT TO:<alice@{DOMAIN}>"):
                client.docmd(command)
            return client.data(message)[0]
        check(send_large() == 250, "mail before")
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{pid}/fd"))
        highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        waiting = [socket.create_connection(("127.0.0.1", gateway.ports["mx"]), timeout=60)
                   for _ in range(highest + 1 - used + 20)]
        wait_for(lambda: "cannot accept" in log_text(gateway), "the log to tell")
        begin, before = time.monotonic(), processor_seconds(pid)
        time.sleep(1)
        share = (processor_seconds(pid) - before) / (time.monotonic() - begin)
        check(share < 0.2, f"waiting for descriptors takes {share:.0%} of a processor")
        check(client.noop()[0] == 250, "an open session is not served")
        code = send_large()
        check(code == 250 or 400 <= code < 500, f"mail is answered with {code}")
        check(log_text(gateway).count("cannot accept") <= 2, "the log tells it again and again")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        for line in waiting:
            check(line.recv(3) == b"220", "one that waited was not served")
            line.close()
        check(send_large() == 250, "mail after")
        check(edges(gateway)[0] == pid, "the worker died")
        client.close()

    def each_descriptor_that_is_missing_is_temporary(self):
        gateway = self.gateway(start=False, workers=1, settings='memory_per_message = "64k"',
                               store='module "store_local" { as = "local", segment_size = "1M" }')
        shim = os.path.join(gateway.directory, "descriptors.so")
        told = gateway.write("told", "\0" * 4096)
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", shim,
                        os.path.join(HERE, "descriptors.c"), "-ldl"], check=True)
        gateway.environment.update(LD_PRELOAD=shim, DESCRIPTORS_FILE=told)
        gateway.start()
        pid = edges(gateway)[0]
        with open(told, "r+b") as file:
            memory = mmap.mmap(file.fileno(), 4096)
        large = b"Subject: x\r\n\r\n" + 5000 * (70 * b"x" + b"\r\n")
        taken = 0

        def use_it():
            """Mail comes in and is read; everything that is answered is yes, or not now."""
            nonlocal taken
            with connect(gateway) as client:
                for body in (b"Subject: x\r\n\r\nhello\r\n", large):
                    code, text = client.docmd("MAIL FROM:<a@sender.test>")
                    if code == 250:
                        code, text = client.docmd(f"RCPT TO:<alice@{DOMAIN}>")
                    if code == 250:
                        code, text = client.data(body)
                        taken += code == 250
                    check(code == 250 or 400 <= code < 500, f"mail is answered with {code} {text}")
                    client.docmd("RSET")
            client = imaplib.IMAP4("127.0.0.1", gateway.ports["imap"], timeout=60)
            try:
                client.login(f"alice@{DOMAIN}", PASSWORD)
                client.select("INBOX")
                client.fetch("*", "(BODY[])")
                client.append("INBOX", None, None, b"Subject: y\r\n\r\nhello\r\n")
            except imaplib.IMAP4.error as error:
                check("BAD" not in str(error), f"IMAP says {error}")
            client.shutdown()
        use_it()
        for number in range(1, 60):
            memory[0:12] = struct.pack("=iii", pid, number, 0)
            use_it()
            calls = struct.unpack("=iii", memory[0:12])[2]
            memory[0:12] = bytes(12)
            if calls < number:
                break
        print(f"# {number - 1} calls make descriptors")
        check(3 < number < 60, f"{number} calls")
        before = taken
        use_it()
        check(taken == before + 2, "mail after")
        check(edges(gateway)[0] == pid, "the worker died")
        check("store.damage" not in log_text(gateway), "what could not be opened is said to be damaged")
        with imaplib.IMAP4("127.0.0.1", gateway.ports["imap"], timeout=60) as client:
            client.login(f"alice@{DOMAIN}", PASSWORD)
            client.select("INBOX", readonly=True)
            found = len(client.search(None, 'SUBJECT "x"')[1][0].split())
        check(found >= taken, f"{taken} messages were taken, and {found} are there")
        memory.close()
