# SPDX-License-Identifier: Apache-2.0
"""Under a service manager: what it is told, and the sockets that it has opened. We play the manager."""

import os
import signal
import socket
import stat

from support import SLOWNESS, check, connect, edges, edit, log_text, postern, send_over, wait_for

# Takes the place of the program: opens sockets as a manager does, and becomes the gateway.
OPENER = """#!/usr/bin/env python3
import os, socket, sys
if sys.argv[1] == "serve":
    opened = []
    for port in {ports}:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        opened.append(os.dup2(listener.detach(), 20 + len(opened)))
    with open({inodes!r}, "w") as file:
        file.write(" ".join(str(os.fstat(number).st_ino) for number in opened))
    for place, number in enumerate(opened):
        os.dup2(number, 3 + place)
        os.close(number)
        os.set_inheritable(3 + place, True)
    os.environ.update(LISTEN_FDS=str(len(opened)), LISTEN_PID=str(os.getpid() + {pid_off}), LISTEN_FDNAMES="a:b")
os.execv({program!r}, sys.argv)
"""


class Manager:
    """A socket that hears what a service says."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(30 * SLOWNESS)

    def next(self, word):
        """What is said next beside signs of life: that word must come first."""
        while (said := self.socket.recv(4096).decode()) == "WATCHDOG=1":
            pass
        lines = said.split("\n")
        check(lines[0] == word, f"the manager was told {said!r}, not {word}")
        return dict(line.split("=", 1) for line in lines)

    def alive(self):
        """Waits for a sign of life."""
        while self.socket.recv(4096) != b"WATCHDOG=1":
            pass

    def is_silent(self):
        """Whether nothing was said that was not read."""
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(30 * SLOWNESS)


class ManagerTests:
    """Mixed into Tests."""

    def a_service_manager_is_told_what_becomes_of_the_gateway(self):
        for abstract in (False, True):
            gateway = self.gateway(start=False)
            path = os.path.join(gateway.directory, "notify")
            manager = Manager("\0" + path if abstract else path)
            gateway.environment = {"NOTIFY_SOCKET": "@" + path if abstract else path}
            gateway.start()
            check("generation 1 " in manager.next("READY=1")["STATUS"], "which generation serves was not told")
            check(postern(gateway, "reload").returncode == 0, "the reload failed")
            told = manager.next("RELOADING=1")
            check(0 < int(told["MONOTONIC_USEC"]), "when it began was not told")
            check("generation 2 " in manager.next("READY=1")["STATUS"], "the new generation was not told")
            edit(gateway, "edge_workers", "nobody_knows_this")
            gateway.process.send_signal(signal.SIGHUP)
            check(int(manager.next("RELOADING=1")["MONOTONIC_USEC"]) > int(told["MONOTONIC_USEC"]),
                  "the second began before the first")
            told = manager.next("READY=1")
            check("nobody_knows_this" in told["STATUS"], f"why was not told, but {told}")
            check(manager.is_silent(), "there was more to hear, and nobody had asked for signs of life")
            gateway.stop()
            manager.next("STOPPING=1")
            check(manager.is_silent(), "a gateway that has ended said something")

    def a_service_manager_hears_that_the_master_is_alive(self):
        gateway = self.gateway(start=False)
        path = os.path.join(gateway.directory, "notify")
        manager = Manager(path)
        gateway.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}
        gateway.start()
        manager.next("READY=1")
        for _ in range(3):
            manager.alive()
        for pid in edges(gateway).values():
            with open(f"/proc/{pid}/environ", "rb") as file:
                check(b"NOTIFY_SOCKET" not in file.read() and b"WATCHDOG" not in file.read(),
                      "workers believe that the manager means them")

    def _opened(self, ports, pid_off=0):
        """A gateway whose manager has opened some of its ports."""
        gateway = self.gateway(start=False)
        inodes = os.path.join(gateway.directory, "inodes")
        program = os.path.join(gateway.directory, "postern")
        with open(program, "w", encoding="ascii") as file:
            file.write(OPENER.format(ports=[gateway.ports.get(name) or name for name in ports], inodes=inodes,
                                     program=os.path.join(gateway.build, "postern"), pid_off=pid_off))
        os.chmod(program, 0o700)
        build, gateway.build = gateway.build, gateway.directory
        try:
            gateway.start()
        finally:
            gateway.build = build
        with open(inodes, encoding="ascii") as file:
            return gateway, [int(word) for word in file.read().split()]

    def sockets_that_a_service_manager_has_opened_are_used(self):
        gateway, inodes = self._opened(("mx", "pop3"))

        def served():
            pid = next(iter(edges(gateway).values()))
            found = set()
            for name in os.listdir(f"/proc/{pid}/fd"):
                try:
                    status = os.stat(f"/proc/{pid}/fd/{name}")
                except OSError:
                    continue
                if stat.S_ISSOCK(status.st_mode):
                    found.add(status.st_ino)
            return found

        def send():
            with connect(gateway) as client:
                check(send_over(client)[0] == 250, "no mail is taken")
        send()
        check(set(inodes) <= served(), "workers listen on other sockets")
        # One that a reload drops can be had again by another: the manager's is still there.
        line = f'listen {{ "127.0.0.1:{gateway.ports["pop3"]}"'
        spare = f'listen {{ "unix:{gateway.directory}/pop3", to = "pop3" }}\n'
        edit(gateway, line, spare + "-- " + line)
        check(postern(gateway, "reload").returncode == 0, "the reload without it failed")
        wait_for(lambda: inodes[1] not in served(), "the end of the socket that is not listened to")
        edit(gateway, "-- " + line, line)
        check(postern(gateway, "reload").returncode == 0, "the reload with it failed")
        wait_for(lambda: set(inodes) <= served(), "the socket that is listened to again")
        send()
        check("service manager" not in log_text(gateway), "it complained of a socket that it uses")

    def a_socket_of_the_manager_that_no_listener_wants_is_told(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        gateway, _ = self._opened(("mx", port))
        check("socket 2 of the service manager" in log_text(gateway), "nothing was said of it")
        check("socket 1 of the service manager" not in log_text(gateway), "the other was found wanting")

    def sockets_of_another_process_are_left_alone(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        gateway, _ = self._opened((port,), pid_off=1)
        check("service manager" not in log_text(gateway), "sockets were taken that were another's")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")
