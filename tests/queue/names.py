# SPDX-License-Identifier: Apache-2.0
"""What resolvers do to mail: those that do not pass signatures on."""

import socket
import struct
import threading

from base import Base, check

ROOT_KEY = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"
TYPES = {1: "A", 15: "MX"}


class Resolver:
    """A resolver that never heard of DNSSEC: what it knows, and no data for all else."""

    def __init__(self, records):
        self.records = records
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.socket.close()

    def _serve(self):
        while True:
            try:
                packet, client = self.socket.recvfrom(4096)
                self.socket.sendto(self._answer(packet), client)
            except OSError:
                return

    @staticmethod
    def _wire(name):
        return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"

    def _answer(self, packet):
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        question = packet[12:at + 5]
        kind, = struct.unpack("!H", packet[at + 1:at + 3])
        found = self.records.get((".".join(labels).lower(), TYPES.get(kind)))
        answer = b""
        if found:
            data = (socket.inet_aton(found) if TYPES[kind] == "A" else struct.pack("!H", 10) + self._wire(found))
            answer = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
        flags = 0x8180  # an answer; recursion was asked for, and is there
        return packet[:2] + struct.pack("!HHHHH", flags, 1, 1 if found else 0, 0, 0) + question + answer


def host(address):
    return socket.inet_aton(address)


class Zone(Resolver):
    """The same with aliases, several records and failures: {(name, type): [data, …]}; a CNAME is {(name, 5): name}."""

    def _answer(self, packet):
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
            at += 1 + packet[at]
        kind, = struct.unpack("!H", packet[at + 1:at + 3])
        name, answers, code = ".".join(labels), [], 0
        while (name, 5) in self.records:
            alias = self.records[name, 5]
            answers.append((name, 5, self._wire(alias)))
            name = alias
        found = self.records.get((name, kind), [])
        if found == "SERVFAIL":
            code, found = 2, []
        elif not any(known == name for known, _ in self.records):
            code = 3
        answers += [(name, kind, data) for data in found]
        text = b"".join(self._wire(owner) + struct.pack("!HHIH", number, 1, 60, len(data)) + data
                        for owner, number, data in answers)
        return (packet[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(answers), 0, 0) + packet[12:at + 5] + text)

    @classmethod
    def mx(cls, *names):
        return [struct.pack("!H", 10 * (i + 1)) + cls._wire(name) for i, name in enumerate(names)]


class Names(Base):
    """Each method is a test with a gateway of its own."""

    def _gateway_behind(self, peer, settings):
        resolver = Resolver({("plain.example.org", "MX"): "mx.plain.example.org", ("mx.plain.example.org", "A"): "127.0.0.1"})
        self.opened.append(resolver)
        gateway = self.gateway(start=False, settings=f'resolvers = {{ "127.0.0.1:{resolver.port}" }}\n{settings}')
        anchor = gateway.write("root.key", ROOT_KEY)
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        text = text.replace('"deliver_smtp" {', f'"deliver_smtp" {{ port = {peer.port}')
        gateway.write("postern.lua", f'trust_anchor = "{anchor}"\n{text}')
        gateway.start()
        return gateway

    @staticmethod
    def _warnings(gateway):
        with open(gateway.log, encoding="utf-8") as file:
            return file.read().count("do not pass DNSSEC on")

    def resolvers_that_pass_no_signatures_on_are_good_enough(self):
        peer = self.peer()
        gateway = self._gateway_behind(peer, "")
        for count in range(1, 4):
            self.submit(gateway, ["x@plain.example.org"])
            peer.wait(count)
        self.wait_empty(gateway)
        check(self._warnings(gateway) == 1, f"the log says so {self._warnings(gateway)} times")

    def they_are_not_where_signatures_are_required(self):
        peer = self.peer()
        gateway = self._gateway_behind(peer, 'dnssec = "required"\n')
        self.submit(gateway, ["x@plain.example.org"])
        self.wait_rows(gateway, lambda rows: rows and rows[0]["attempts"] > 0 and "DNS" in rows[0]["reason"],
                       "it waits for DNS")
        check(not peer.messages, "it was sent")

    def nothing_is_validated_where_that_is_off(self):
        peer = self.peer()
        gateway = self._gateway_behind(peer, 'dnssec = "off"\n')
        self.submit(gateway, ["x@plain.example.org"])
        peer.wait(1)
        check(self._warnings(gateway) == 0, "the log complains")

    def aliases_and_failures_of_names(self):
        peer = self.peer()
        there = {("real.example.org", 1): [host("127.0.0.1")]}
        resolver = Zone({
            **there,
            ("one.example.org", 15): Zone.mx("alias.example.org"), ("alias.example.org", 5): "real.example.org",
            ("two.example.org", 5): "target.example.org", ("target.example.org", 15): Zone.mx("real.example.org"),
            ("three.example.org", 15): Zone.mx("broken.example.org", "real.example.org"),
            ("broken.example.org", 1): "SERVFAIL", ("broken.example.org", 28): "SERVFAIL",
            ("four.example.org", 15): Zone.mx("broken.example.org"), ("five.example.org", 15): "SERVFAIL",
            ("six.example.org", 15): Zone.mx("absent.example.org"), ("seven.example.org", 15): Zone.mx("127.0.0.1")})
        self.opened.append(resolver)
        gateway = self.gateway(start=False, settings=f'resolvers = {{ "127.0.0.1:{resolver.port}" }}\ndnssec = "off"\n')
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        gateway.write("postern.lua", text.replace('"deliver_smtp" {', f'"deliver_smtp" {{ port = {peer.port}'))
        gateway.start()
        for name in ("one", "two", "three", "four", "five", "six", "seven"):
            self.submit(gateway, [f"x@{name}.example.org"])
        there = sorted(message.recipients[0] for message in peer.wait(3))
        check(there == [f"RCPT TO:<x@{name}.example.org>" for name in ("one", "three", "two")], f"{there}")
        fields = [one for report in self.wait_mail(gateway, 2) for one in self.report(report)]
        check(sorted(one["Final-Recipient"] for one in fields) ==
              ["rfc822; x@seven.example.org", "rfc822; x@six.example.org"], f"{fields}")
        rows = self.wait_rows(gateway, lambda rows: len(rows) == 2 and all(row["attempts"] for row in rows), "two wait")
        check({row["recipient"] for row in rows} == {"x@four.example.org", "x@five.example.org"}, f"{rows}")
