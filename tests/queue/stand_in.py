# SPDX-License-Identifier: Apache-2.0
"""A server that mail is sent to: it answers as a function says, and remembers what it took."""

import socketserver
import threading


class Message:
    """What was taken: envelope and bytes, dots unstuffed."""

    def __init__(self, connection, sender, recipients, text):
        self.connection = connection
        self.sender = sender
        self.recipients = recipients
        self.text = text


class _Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write((text + "\r\n").encode())

    def read_data(self):
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)
        return None

    def handle(self):
        server = self.server.stand_in
        with server.lock:
            server.connections += 1
            self.number = server.connections
            server.open += 1
            server.most_open = max(server.most_open, server.open)
            server.came.notify_all()
        self.is_counted = True
        try:
            self.converse(server)
        finally:
            self.leave(server)

    def leave(self, server):
        with server.lock:
            server.open -= self.is_counted
            self.is_counted = False
            server.came.notify_all()

    def converse(self, server):
        greeting = server.answer("connect", "")
        self.say(greeting or "220 stand-in.test ESMTP")
        if greeting and not greeting.startswith("2"):
            return
        sender, recipients = None, []
        for line in self.rfile:
            text = line.decode("latin1").rstrip("\r\n")
            word = text.split(" ")[0].upper()
            said = server.answer(word, text)
            if said == "drop":
                return
            if said:
                self.say(said)
            elif word == "EHLO":
                self.say("250-stand-in.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
                         + "".join(f"250-{word}\r\n" for word in server.offers) + "250 ENHANCEDSTATUSCODES")
            elif word == "DATA" and not recipients:
                self.say("554 5.5.1 no valid recipients")
                continue
            elif word == "DATA":
                self.say("354 go on")
                data = self.read_data()
                if data is None:
                    return
                said = server.answer("end", text)
                if said == "drop":
                    return
                if not said or said.startswith("2"):
                    with server.lock:
                        server.messages.append(Message(self.number, sender, recipients, data))
                        server.came.notify_all()
                self.say(said or "250 2.0.0 taken")
                sender, recipients = None, []
                continue
            elif word == "QUIT":
                # Before the answer: who has it may come again at once.
                self.leave(server)
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 ok")
            if word == "MAIL" and (not said or said.startswith("2")):
                sender, recipients = text, []
            if word == "RCPT" and (not said or said.startswith("2")):
                recipients.append(text)
            if word == "RSET":
                sender, recipients = None, []


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class StandIn:
    """`answers(word, line)` gives a reply, "drop", or None for the usual one."""

    def __init__(self, answers=None, port=0, dsn=False, offers=("SMTPUTF8",)):
        self.answers = answers or (lambda word, line: None)
        self.offers = (*offers, "DSN") if dsn else offers
        self.lock = threading.RLock()
        self.came = threading.Condition(self.lock)
        self.messages = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.commands = []
        self.server = _Server(("127.0.0.1", port), _Session)
        self.server.stand_in = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def answer(self, word, line):
        with self.lock:
            self.commands.append(line)
            self.came.notify_all()
        return self.answers(word, line)

    def wait(self, count, seconds=10):
        """Until it took so many messages; they are returned."""
        with self.lock:
            self.came.wait_for(lambda: len(self.messages) >= count, seconds)
            return list(self.messages)

    def wait_command(self, test, seconds=10):
        with self.lock:
            return self.came.wait_for(lambda: any(test(line) for line in self.commands), seconds)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
