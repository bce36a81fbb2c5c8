# SPDX-License-Identifier: Apache-2.0
"""Servers that are not as they should be."""

import socket
import threading


class Breaking:
    """Passes connections on to a port, and breaks the first ones after so many bytes from there, or
    whenever a word passes that should not."""

    def __init__(self, port, limits=(), poison=None):
        self.port = port
        self.limits = list(limits)
        self.poison = poison
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            limit = self.limits.pop(0) if self.limits else None
            server = socket.create_connection(("127.0.0.1", self.port))
            for source, target, bound in ((client, server, None), (server, client, limit)):
                threading.Thread(target=self.copy, args=(source, target, bound), daemon=True).start()

    def copy(self, source, target, limit):
        passed = 0
        try:
            while data := source.recv(65536):
                passed += len(data)
                if (limit is not None and passed > limit) or (self.poison and self.poison in data):
                    break
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
