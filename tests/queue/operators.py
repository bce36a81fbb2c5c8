# SPDX-License-Identifier: Apache-2.0
"""What operators change while mail is on its way, and what they configure. Run by run.py."""

import os
import random
import shutil
import smtplib
import subprocess
import threading

from base import HERE, TEXT, Base, Failure, check
from gateway import USERS, make_certificate, reserve_port
from shaping import Gate, PATIENCE


PORTS = (2525, 2587, 2465, 2424, 2110, 2995, 2143, 2993, 2080)  # of the quick start


def free_offset():
    """What can be added to all of them."""
    for offset in random.sample(range(5000, 25000), 1000):
        if all(reserve_port(port + offset) for port in PORTS):
            return offset
    raise Failure("no ports are free")


class Operators(Base):
    def _on_its_way(self, answer):
        """A gateway with a message whose end the peer will answer so, when the gate opens; then with 250."""
        gate = Gate()
        said = []

        def answers(word, line):
            if word != "end" or said:
                return None
            gate.wait()
            said.append(line)
            return answer

        peer = self.peer(answers)
        gateway = self.gateway(peer)
        self.submit(gateway, ["x@example.net"])
        check(gate.wait_for(1) == 1, "it did not go")
        return gateway, peer, gate

    def what_is_held_on_its_way_is_not_tried_again(self):
        gateway, peer, gate = self._on_its_way("451 4.3.0 later")
        self.command(gateway, "queue", "hold", "--domain", "example.net", "--because", "wait")
        gate.open()
        self.events(gateway, "delivery", 1)
        rows = self.wait_rows(gateway, lambda rows: rows and rows[0]["state"] == "held", "held")
        check(len(rows) == 1 and not peer.messages, f"{rows}")
        self.command(gateway, "queue", "release", "--domain", "example.net")
        check(len(peer.wait(1)) == 1, "released, and not delivered")
        self.wait_empty(gateway)

    def what_is_held_on_its_way_and_arrives_is_gone(self):
        gateway, peer, gate = self._on_its_way("250 2.0.0 taken")
        self.command(gateway, "queue", "hold", "--domain", "example.net")
        gate.open()
        self.wait_empty(gateway)
        check(len(peer.messages) == 1 and not self.mailbox(gateway), "it came, and its sender was told something")

    def what_is_deleted_on_its_way_does_not_come_back(self):
        gateway, peer, gate = self._on_its_way("451 4.3.0 later")
        self.command(gateway, "queue", "delete", "--domain", "example.net")
        gate.open()
        self.events(gateway, "delivery", 1)
        self.wait_empty(gateway)
        self.submit(gateway, ["y@example.net"])
        check("y@" in peer.wait(1)[0].recipients[0], "it was tried again")
        self.wait_empty(gateway)
        check(not self.mailbox(gateway), "its sender was told something")

    def what_is_given_up_on_its_way_is_told_once(self):
        gateway, peer, gate = self._on_its_way("451 4.3.0 later")
        self.command(gateway, "queue", "bounce", "--domain", "example.net")
        gate.open()
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Action"] == "failed", f"{fields}")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1 and not peer.messages, "told twice, or delivered as well")

    def what_is_given_up_on_its_way_and_arrives_has_arrived(self):
        gateway, peer, gate = self._on_its_way("250 2.0.0 taken")
        self.command(gateway, "queue", "bounce", "--domain", "example.net")
        gate.open()
        self.wait_empty(gateway)
        check(len(peer.messages) == 1 and not self.mailbox(gateway), "it came, and its sender was told that it did not")

    def what_is_sent_elsewhere_on_its_way_goes_there(self):
        other = self.peer()
        gateway, peer, gate = self._on_its_way("451 4.3.0 later")
        self.command(gateway, "queue", "requeue", "--domain", "example.net", "--route", f"hosts:127.0.0.1:{other.port}")
        gate.open()
        check(len(other.wait(1)) == 1, "it did not")
        self.wait_empty(gateway)
        check(not peer.messages, "it came twice")

    def what_is_sent_elsewhere_changes_its_worker(self):
        first = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" else None)
        second = self.peer()
        gateway = self.gateway(first, settings="queue_workers = 3\n")
        for number in range(30):
            self.submit(gateway, [f"x{number}@example.net"])
        self.wait_rows(gateway, lambda rows: len(rows) == 30 and all(row["reason"] for row in rows), "tried")
        self.command(gateway, "queue", "requeue", "--domain", "example.net", "--route", f"hosts:127.0.0.1:{second.port}")
        second.wait(30)
        self.wait_empty(gateway)
        there = [message.recipients[0] for message in second.messages]
        check(len(there) == 30 and len(set(there)) == 30, f"{len(there)} came, {len(set(there))} different")

    def routes_of_a_table_are_read_anew(self):
        first = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" else None)
        second = self.peer()
        gateway = self.gateway(start=False, more='policy "routes.lua"\n')
        with open(os.path.join(HERE, "..", "..", "scripts", "routes.lua"), encoding="utf-8") as file:
            gateway.write("routes.lua", file.read())
        gateway.write("routes", f"example.net hosts 127.0.0.1:{first.port}\n")
        gateway.start()
        self.submit(gateway, ["x@example.net"])
        self.wait_rows(gateway, lambda rows: rows and rows[0]["attempts"], "tried")
        gateway.write("routes", f"example.net hosts 127.0.0.1:{second.port}\nexample.org reject 5.1.2 not here\n")
        self.command(gateway, "reload")
        check(len(second.wait(1)) == 1, "mail that waited did not go the new way")
        try:
            self.submit(gateway, ["x@example.org"])
            raise AssertionError("it was taken")
        except smtplib.SMTPException as error:
            check("not here" in str(error), str(error))

    def the_quick_start_relays_where_it_is_told_to(self):
        peer = self.peer()
        data = os.path.join(self.gateway(start=False).directory, "quick")
        os.mkdir(data)
        make_certificate(data)
        with open(os.path.join(data, "users"), "w", encoding="utf-8") as file:
            file.write(USERS)
        os.chmod(os.path.join(data, "users"), 0o600)
        offset = free_offset()
        environment = {**os.environ, "POSTERN_DATA": data, "POSTERN_MODULES": os.path.join(self.build, "modules"),
                       "POSTERN_PORT_OFFSET": str(offset), "POSTERN_RELAY": f"127.0.0.1:{peer.port}"}
        process = subprocess.Popen([os.path.join(self.build, "postern"), "serve", "--config",
                                    os.path.join(HERE, "..", "..", "conf", "quickstart.lua")], env=environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            limit = threading.Timer(PATIENCE, process.kill)
            limit.start()
            said = []
            check(any(said.append(line) or line.startswith("postern: ready") for line in process.stdout), f"it did not start: {said}")
            with smtplib.SMTP("127.0.0.1", 2587 + offset) as client:
                client.login("alice", "postern")
                client.sendmail("alice@example.test", ["x@example.net"], TEXT)
            check(peer.wait(1)[0].recipients == ["RCPT TO:<x@example.net>"], "it did not come")
        finally:
            limit.cancel()
            process.terminate()
            process.wait(PATIENCE)
            process.stdout.close()
            shutil.rmtree(data, ignore_errors=True)
