# SPDX-License-Identifier: Apache-2.0
"""How fast mail goes, and whose goes first. Run by run.py."""

import smtplib
import threading
import time

from base import TEXT, Base, check

PATIENCE = 15

BY_SUBJECT = """on("message.decide", function(session, message)
    local word, value = (message:header("Subject") or ""):match("^(%a+) (%S+)")
    if word == "priority" then message:set_priority(math.tointeger(tonumber(value))) end
    if word == "tenant" then message:set_tenant(value) end
    if word == "release" then message:set_release(clock.now() + tonumber(value)) end
    if word == "lifetime" then message:set_lifetime(tonumber(value)) end
end)
"""


def letter(subject):
    return TEXT.replace(b"a letter", subject.encode())


class Gate:
    """A place in a dialogue where the stand-in waits until it is opened."""

    def __init__(self):
        self.opened = threading.Event()
        self.waiting = 0
        self.lock = threading.Condition()

    def wait(self):
        with self.lock:
            self.waiting += 1
            self.lock.notify_all()
        self.opened.wait(PATIENCE)

    def wait_for(self, count, seconds=PATIENCE):
        """Until so many wait at it; how many do."""
        with self.lock:
            self.lock.wait_for(lambda: self.waiting >= count, seconds)
            return self.waiting

    def open(self):
        self.opened.set()


class Shaping(Base):
    def _send_many(self, gateway, letters):
        """Pairs of recipient and text, over one connection."""
        with smtplib.SMTP("127.0.0.1", gateway.ports["submission"]) as client:
            client.login("alice", "postern")
            for recipient, text in letters:
                client.sendmail("alice@example.test", [recipient], text)

    def connections_have_a_limit(self):
        gate = Gate()
        peer = self.peer(lambda word, line: gate.wait() if word == "end" else None)
        gateway = self.gateway(peer, settings="destination_connections = 3\n")
        self._send_many(gateway, [(f"x{i}@example.net", TEXT) for i in range(20)])
        check(gate.wait_for(3) == 3, "not as many as may be")
        check(gate.wait_for(4, 0.5) == 3, "more than may be")
        gate.open()
        check(len(peer.wait(20)) == 20, "not all came")
        check(peer.most_open == 3, f"{peer.most_open} at a time")

    def _several_workers(self, peer, settings):
        """Three of them, and six domains with the same server."""
        gateway = self.gateway(start=False, settings=f'zone_file = "zone"\nqueue_workers = 3\n{settings}')
        gateway.write("zone", "mx.shared.test. 60 IN A 127.0.0.1\n" +
                      "".join(f"d{number}.test. 60 IN MX 10 mx.shared.test.\n" for number in range(6)))
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        gateway.write("postern.lua", text.replace('"deliver_smtp" {', f'"deliver_smtp" {{ port = {peer.port}'))
        gateway.start()
        return gateway

    def _workers_of(self, gateway, count):
        """Which worker delivers to which domain."""
        return {event["destination"]: event["worker"] for event in self.events(gateway, "delivery", count)}

    def limits_are_those_of_all_workers_together(self):
        gate = Gate()
        peer = self.peer(lambda word, line: gate.wait() if word == "end" else None)
        gateway = self._several_workers(peer, "destination_connections = 2\n")
        self._send_many(gateway, [(f"x{i}@d{i % 6}.test", TEXT) for i in range(30)])
        check(gate.wait_for(2) == 2, "not as many as may be")
        check(gate.wait_for(3, 0.5) == 2, "more than may be")
        gate.open()
        check(len(peer.wait(30)) == 30, "not all came")
        check(peer.most_open <= 2, f"{peer.most_open} at a time")
        check(len(set(self._workers_of(gateway, 30).values())) > 1, "one worker has all domains")

    def a_rate_is_that_of_all_workers_together(self):
        peer = self.peer()
        gateway = self._several_workers(peer, "destination_messages_per_minute = 180\n")
        began = time.monotonic()
        self._send_many(gateway, [(f"x{i}@d{i % 6}.test", TEXT) for i in range(15)])
        check(len(peer.wait(15)) == 15, "not all came")
        check(time.monotonic() - began >= 12 / 3 - 0.1, f"15 in {time.monotonic() - began} s, 3 at once and 3 a second")

    def workers_take_turns_at_a_place(self):
        gates = [Gate(), Gate()]
        gates[0].open()
        peer = self.peer(lambda word, line: gates[0].wait() if word == "end" else None)
        gateway = self._several_workers(peer, "destination_connections = 1\n")
        self._send_many(gateway, [(f"x@d{i}.test", TEXT) for i in range(6)])
        check(len(peer.wait(6)) == 6, "not all came")
        workers = self._workers_of(gateway, 6)
        first = "d0.test"
        other = next(domain for domain in sorted(workers) if workers[domain] != workers[first])
        gates.pop(0)
        self._send_many(gateway, [(f"x{i}@{first}", TEXT) for i in range(90)])
        check(gates[0].wait_for(1) == 1, "nothing came")
        self.submit(gateway, [f"other@{other}"])
        gates[0].open()
        came = [message.recipients[0] for message in peer.wait(97)]
        check(len(came) == 97, f"{len(came)} came")
        check(came.index(f"RCPT TO:<other@{other}>") < 6 + 60, "one worker kept the place to itself")
        check(peer.most_open == 1, f"{peer.most_open} at a time")

    def a_place_can_have_limits_of_its_own(self):
        gate = Gate()
        peer = self.peer(lambda word, line: gate.wait() if word == "end" else None)
        gateway = self.gateway(peer, more='destination { "127.0.0.1", connections = 1, '
                                          'messages_per_connection = 2 }\n')
        self._send_many(gateway, [(f"x{i}@example.net", TEXT) for i in range(6)])
        check(gate.wait_for(1) == 1, "nothing came")
        check(gate.wait_for(2, 0.5) == 1, "more than may be")
        gate.open()
        peer.wait(6)
        for number in range(1, peer.connections + 1):
            there = sum(message.connection == number for message in peer.messages)
            check(there <= 2, f"{there} messages over one connection")
        check(len(peer.messages) == 6 and peer.most_open == 1, f"{peer.most_open} at a time")

    def messages_of_a_connection_have_a_limit(self):
        peer = self.peer()
        gateway = self.gateway(peer, settings="destination_messages_per_connection = 4\n"
                                              "destination_connections = 1\n")
        self._send_many(gateway, [(f"x{i}@example.net", TEXT) for i in range(20)])
        peer.wait(20)
        for number in range(1, peer.connections + 1):
            there = sum(message.connection == number for message in peer.messages)
            check(there <= 4, f"{there} messages over one connection")
        check(peer.connections <= 10, f"{peer.connections} connections: they are not used again")

    def messages_have_a_rate(self):
        peer = self.peer()
        gateway = self.gateway(peer, settings="destination_messages_per_minute = 180\n")
        began = time.monotonic()
        self._send_many(gateway, [(f"x{i}@example.net", TEXT) for i in range(10)])
        check(len(peer.wait(10)) == 10, "not all came")
        took = time.monotonic() - began
        # Three at once, and three in each second.
        check(took > 1.9, f"ten came in {took:.1f} s")

    def complaints_slow_down_and_success_opens_up(self):
        gate = Gate()
        first = Gate()
        state = {"phase": "storm"}

        def answers(word, line):
            if word == "RCPT" and state["phase"] == "storm":
                first.wait()
                return "421 4.7.0 too many connections from you"
            if word == "end" and state["phase"] == "calm":
                gate.wait()
            return None

        peer = self.peer(answers)
        gateway = self.gateway(peer, settings='retry_schedule = { "300ms" }\n')
        self._send_many(gateway, [(f"x{i}@example.net", TEXT) for i in range(40)])
        before = first.wait_for(5)
        check(before == 5, f"it began with {before} connections")
        state["phase"] = "calm"
        first.open()
        check(gate.wait_for(1) >= 1, "it never came again")
        after = gate.wait_for(5, 0.7)
        check(after <= 3, f"{after} at a time after the complaints")
        gate.open()
        check(len(peer.wait(40)) == 40, f"{len(peer.messages)} of 40 came")
        self.wait_empty(gateway)

    def what_cannot_be_reached_is_left_alone(self):
        peer = self.peer(lambda word, line: "drop" if word == "connect" else None)
        gateway = self.gateway(peer, settings='retry_schedule = { "30s" }\nsuspend_after = 3\n')
        self._send_many(gateway, [(f"x{i}@example.net", TEXT) for i in range(60)])
        rows = self.wait_rows(gateway, lambda rows: len(rows) == 60 and all(row["attempts"] for row in rows),
                              "all were put off")
        check(all(row["reason"] for row in rows), "some do not know why they wait")
        check(peer.connections <= 12, f"it was tried {peer.connections} times for 60 messages")

    def what_is_left_alone_waits_while_others_are_served(self):
        gate = Gate()
        good = self.peer()

        def bad_answers(word, line):
            if word == "connect":
                gate.wait()
                return "drop"
            return None

        bad = self.peer(bad_answers)
        policy = f'''on("recipient.route", function(session, recipient)
            local port = recipient.local_part:match("^bad") and {bad.port} or {good.port}
            recipient:route{{ hosts = {{ "127.0.0.1:" .. port }} }}
        end)'''
        gateway = self.gateway(settings='retry_schedule = { "1h" }\nsuspend_after = 1\n', policy=policy)
        for number in range(4):
            self.submit(gateway, [f"bad{number}x{i}@example.net" for i in range(100)])
        began = time.monotonic()
        sent = 0
        # Hundreds are delivered in each second, in whose midst the bad one is found out.
        while time.monotonic() < began + 3:
            self.submit(gateway, [f"good{sent}x{i}@example.net" for i in range(100)])
            sent += 1
            check(len(good.wait(sent)) == sent, f"{len(good.messages)} of {sent} came")
            if time.monotonic() > began + 1.5:
                gate.open()
        rows = self.wait_rows(gateway, lambda rows: len(rows) == 400 and all(row["attempts"] for row in rows),
                              "all others were put off")
        check(all(row["reason"] for row in rows), "some do not know why they wait")

    def tarpits_hold_up_nobody_else(self):
        gate = Gate()
        tarpits = [self.peer(lambda word, line: gate.wait() if word == "connect" else None) for _ in range(8)]
        good = self.peer()
        policy = '''on("recipient.route", function(session, recipient)
            local ports = { %s }
            recipient:route{ hosts = { "127.0.0.1:" .. ports[tonumber(recipient.local_part:match("^t(%%d)")) or 9] } }
            end)''' % ", ".join(str(peer.port) for peer in tarpits + [good])
        gateway = self.gateway(policy=policy, settings="queue_connections = 20\n")
        self._send_many(gateway, [(f"t{i % 8 + 1}-{i}@example.net", TEXT) for i in range(160)])
        self._send_many(gateway, [(f"good{i}@example.net", TEXT) for i in range(50)])
        check(len(good.wait(50)) == 50, f"{len(good.messages)} of 50 came")
        check(not any(peer.messages for peer in tarpits), "the tarpits took something")
        gate.open()

    def a_delivery_as_a_whole_has_a_deadline(self):
        peer = self.peer(lambda word, line: time.sleep(0.2) if word == "RCPT" else None)
        gateway = self.gateway(peer, settings='delivery_deadline = "1s"\nretry_schedule = { "1h" }\n')
        self.submit(gateway, [f"x{i}@example.net" for i in range(30)])
        rows = self.wait_rows(gateway, lambda rows: rows and all(row["attempts"] for row in rows), "it was put off")
        check(len(rows) == 30 and "ended the attempt" in rows[0]["reason"], f"{rows[0]}")
        check(not peer.messages, "it came")

    def who_sends_much_does_not_stand_before_who_sends_little(self):
        gate = Gate()
        peer = self.peer(lambda word, line: gate.wait() if word == "end" else None)
        gateway = self.gateway(peer, policy=BY_SUBJECT, settings="destination_connections = 1\n")
        self._send_many(gateway, [(f"much{i}@example.net", letter("tenant much")) for i in range(200)])
        check(gate.wait_for(1) == 1, "nothing came")
        self._send_many(gateway, [(f"little{i}@example.net", letter("tenant little")) for i in range(5)])
        self.wait_rows(gateway, lambda rows: len(rows) == 205, "all wait")
        gate.open()
        messages = peer.wait(205, 30)
        last = max(i for i, message in enumerate(messages) if "little" in message.recipients[0])
        check(last < 40, f"the last of five came as number {last}")

    def the_urgent_goes_first(self):
        gate = Gate()
        peer = self.peer(lambda word, line: gate.wait() if word == "end" else None)
        gateway = self.gateway(peer, policy=BY_SUBJECT, settings="destination_connections = 1\n")
        self.submit(gateway, ["first@example.net"])
        check(gate.wait_for(1) == 1, "nothing came")
        self._send_many(gateway, [(f"x{i}@example.net", letter(f"priority {i % 8}")) for i in range(16)])
        self.submit(gateway, ["urgent@example.net"], text=letter("priority 9"))
        rows = self.wait_rows(gateway, lambda rows: len(rows) == 18, "all wait")
        check(any(row["priority"] == 9 for row in rows), f"{rows}")
        self._wait_taken(gateway, 18)
        gate.open()
        order = [message.recipients[0] for message in peer.wait(18)]
        check("urgent" in order[1], f"{order}")
        numbers = [int(one.split("x")[1].split("@")[0]) % 8 for one in order[2:]]
        check(numbers == sorted(numbers, reverse=True), f"{numbers}")

    def _wait_taken(self, gateway, count):
        """Until the queue worker has so many in memory."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if f"{count} in memory" in self.command(gateway, "status"):
                return
            time.sleep(0.05)

    def what_has_a_date_waits_for_it(self):
        peer = self.peer()
        gateway = self.gateway(peer, policy=BY_SUBJECT)
        began = time.time()
        self.submit(gateway, ["later@example.net"], text=letter("release 2"))
        self.submit(gateway, ["now@example.net"])
        check("now@" in peer.wait(1)[0].recipients[0], "the other did not come first")
        row, = self.wait_rows(gateway, lambda rows: len(rows) == 1, "one waits")
        check(row["attempts"] == 0 and not row.get("reason"), f"{row}")
        check(len(peer.wait(2)) == 2, "it never came")
        check(time.time() - began >= 2, "it came too early")

    def a_message_can_have_a_lifetime_of_its_own(self):
        peer = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" else None)
        gateway = self.gateway(peer, policy=BY_SUBJECT)
        self.submit(gateway, ["x@example.net"], text=letter("lifetime 1"))
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Status"] == "4.4.7", f"the report says {fields}")

    def the_last_try_is_made_when_the_time_is_up(self):
        tries = []

        def answers(word, line):
            if word == "RCPT":
                tries.append(time.monotonic())
                return "451 4.3.0 later" if len(tries) == 1 else None
            return None

        peer = self.peer(answers)
        gateway = self.gateway(peer, settings='retry_schedule = { "1h" }\nqueue_lifetime = "2s"\n')
        self.submit(gateway, ["x@example.net"])
        check(len(peer.wait(1)) == 1, "it was given up without a last try")
        self.wait_empty(gateway)
        check(not self.mailbox(gateway), "it came, and its sender was told that it did not")

    def what_was_held_past_its_time_is_tried_when_it_is_released(self):
        is_open = threading.Event()
        peer = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" and not is_open.is_set() else None)
        gateway = self.gateway(peer, settings='queue_lifetime = "2s"\nretry_schedule = { "1s" }\n')
        self.submit(gateway, ["x@example.net"])
        self.wait_rows(gateway, lambda rows: rows and rows[0]["attempts"], "tried")
        self.command(gateway, "queue", "hold", "--domain", "example.net")
        row, = self.rows(gateway)
        check(row["state"] == "held", f"{row}")
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            check(len(self.rows(gateway)) == 1, "held, and given up")
            time.sleep(0.2)
        is_open.set()
        self.command(gateway, "queue", "release", "--domain", "example.net")
        check(len(peer.wait(1)) == 1, "it was given up without a try")
        check(not self.mailbox(gateway), "its sender was told that it failed")
