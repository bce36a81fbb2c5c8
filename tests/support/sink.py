# SPDX-License-Identifier: Apache-2.0
"""A server that takes mail and writes down what it got: the next hop of tests.

    sink = Sink()                       # listens on 127.0.0.1 and 127.0.0.2, on the port sink.port
    sink.arrivals["a@foreign.test"]     # what came for that recipient, in order
    sink.in_message()                   # recipients whose message is on its way right now
    sink.stop()

It speaks PIPELINING and 8BITMIME (or what `extensions` says), and answers 250 but for two kinds of recipients: to refused-…@… it says
550, and to later-…@… 451 when it is named for the first time. It runs in a thread of its own; what it
holds is the test's, and knows nothing of the gateway.
"""

import asyncio
import hashlib
import re
import threading
import time

ADDRESSES = ("127.0.0.1", "127.0.0.2")
EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 104857600")
LINE_MAX = 4096
PATH = re.compile(rb"<([^>]*)>")
END = b"\r\n.\r\n"


class Arrival:
    """One message, whole and answered with 250. `text` is kept where the sender is null, and where
    there is no line that begins with the mark."""

    __slots__ = ("sender", "recipients", "digest", "size", "prefix", "text", "began", "ended",
                 "parameters")


class Speaker(asyncio.Protocol):
    """One connection."""

    def __init__(self, sink):
        self.sink = sink
        self.transport = None
        self.pending = bytearray()
        self.looked_at = 0
        self.in_data = False
        self.began = 0.0
        self.forget()

    def forget(self):
        self.sender = None
        self.parameters = b""
        self.recipients = []

    def connection_made(self, transport):
        self.transport = transport
        self.sink.connections.add(self)
        self.sink.connected += 1
        transport.write(b"220 sink.test ESMTP\r\n")

    def connection_lost(self, _error):
        self.sink.connections.discard(self)
        if self.in_data:
            self.sink.broken += 1

    def data_received(self, data):
        self.pending += data
        replies = []
        while self.take_message(replies) if self.in_data else self.take_line(replies):
            pass
        if replies:
            self.transport.write(b"".join(replies))

    def take_line(self, replies):
        """The next command; false where it is not whole."""
        end = self.pending.find(b"\n")
        if end < 0:
            if len(self.pending) > LINE_MAX:
                self.sink.problems.append("a command of more than 4096 bytes")
                self.transport.abort()
            return False
        line = bytes(self.pending[:end]).rstrip(b"\r")
        del self.pending[:end + 1]
        replies.append(self.answer(line) + b"\r\n")
        if line[:4].upper() == b"QUIT":
            self.transport.write(b"".join(replies))
            replies.clear()
            self.transport.close()
            return False
        return True

    def answer(self, line):
        """The reply to a command."""
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-sink.test\r\n" + b"".join(b"250-%s\r\n" % word.encode()
                                                  for word in self.sink.extensions) + b"250 HELP"
        if verb == b"MAIL":
            self.forget()
            self.sender = PATH.search(line).group(1).decode("utf-8", "replace")
            self.parameters = line[line.index(b">") + 1:].strip()
            return b"250 2.1.0 go on"
        if verb == b"RCPT":
            return self.judge(PATH.search(line).group(1).decode("utf-8", "replace"))
        if verb == b"DATA":
            if not self.recipients:
                return b"554 5.5.1 nobody is left"
            self.in_data = True
            self.looked_at = 0
            self.began = time.monotonic()
            self.pending[:0] = b"\r\n"  # so that a first line "." ends it, too
            return b"354 go on"
        if verb == b"RSET":
            self.forget()
        return b"250 2.0.0 yes"

    def judge(self, recipient):
        """The reply to RCPT."""
        if recipient.startswith("refused-"):
            self.sink.refusals += 1
            return b"550 5.1.1 no such address here"
        if recipient.startswith("later-") and recipient not in self.sink.put_off:
            self.sink.put_off[recipient] = time.monotonic()
            return b"451 4.3.0 not now"
        self.recipients.append(recipient)
        return b"250 2.1.5 yes"

    def take_message(self, replies):
        """The message, where its end is there."""
        end = self.pending.find(END, self.looked_at)
        if end < 0:
            self.looked_at = max(0, len(self.pending) - len(END))
            return False
        text = bytes(self.pending[:end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        del self.pending[:end + len(END)]
        self.in_data = False
        replies.append(self.sink.keep(self, text))
        self.forget()
        return True


class Sink:
    """The server. `mark` begins the line from which on a message must be as it was sent."""

    def __init__(self, mark=b"X-Ledger-Id: ", addresses=ADDRESSES, extensions=EXTENSIONS, port=0):
        self.mark = mark
        self.extensions = extensions
        self.addresses = addresses
        self.port = port
        self.arrivals = {}
        self.reports = []     # those with a null sender
        self.put_off = {}      # recipients that were refused for now, and when
        self.connections = set()
        self.connected = 0
        self.messages = 0
        self.refusals = 0
        self.broken = 0
        self.problems = []
        self.loop = asyncio.new_event_loop()
        self.servers = []
        self.loop.run_until_complete(self.listen())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    async def listen(self):
        for address in self.addresses:
            server = await self.loop.create_server(lambda: Speaker(self), address, self.port, backlog=4096)
            self.port = server.sockets[0].getsockname()[1]
            self.servers.append(server)

    def keep(self, speaker, text):
        """Writes a message down; the reply."""
        arrival = Arrival()
        arrival.sender = speaker.sender
        arrival.recipients = tuple(speaker.recipients)
        arrival.parameters = speaker.parameters
        begin = text.find(self.mark)
        while begin > 0 and text[begin - 1:begin] != b"\n":
            begin = text.find(self.mark, begin + 1)
        arrival.text = text if begin < 0 or not speaker.sender else None
        begin = max(begin, 0)
        arrival.prefix = text[:begin]
        arrival.digest = hashlib.sha256(text[begin:]).digest()
        arrival.size = len(text) - begin
        arrival.began = speaker.began
        arrival.ended = time.monotonic()
        self.messages += 1
        for recipient in arrival.recipients:
            self.arrivals.setdefault(recipient, []).append(arrival)
        if not arrival.sender:
            self.reports.append(arrival)
        return b"250 2.0.0 taken\r\n"

    def in_message(self):
        """Recipients whose message is on its way. Any thread."""
        found = []
        for speaker in list(self.connections):
            if speaker.in_data:
                found += speaker.recipients
        return found

    def forget(self):
        """Begins anew with empty books."""
        self.arrivals = {}
        self.reports = []
        self.put_off = {}

    def zone(self, domains):
        """Lines of a zone file: the domains, dealt out to the addresses that are listened on."""
        lines = [f"mx{number}.sink.test 300 IN A {address}" for number, address in enumerate(self.addresses)]
        lines += [f"{domain} 300 IN MX 10 mx{number % len(self.addresses)}.sink.test."
                  for number, domain in enumerate(domains)]
        return "\n".join(lines) + "\n"

    def stop(self):
        """Closes everything."""
        def close():
            for server in self.servers:
                server.close()
            for speaker in list(self.connections):
                speaker.transport.abort()
            self.loop.call_soon(self.loop.stop)

        self.loop.call_soon_threadsafe(close)
        self.thread.join(10)
        self.loop.close()
