# SPDX-License-Identifier: Apache-2.0
"""Commands of `postern` and the control worker: everybody who asks is answered, whatever happens."""

import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request

from support import SLOWNESS, check, edges, edit, log_text, postern, status, wait_for


def control_socket(gateway):
    """A connection to the control socket."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30 * SLOWNESS)
    client.connect(os.path.join(gateway.directory, "data", "control.sock"))
    return client


def ask(gateway, command):
    """What the gateway answers, until it ends the connection."""
    with control_socket(gateway) as client:
        client.sendall(command + b"\n")
        return read_all(client)


def read_all(client):
    """Until the end."""
    answer = b""
    try:
        while piece := client.recv(65536):
            answer += piece
    except ConnectionError:
        pass
    return answer


def start_command(gateway, *words):
    """A command that runs on its own."""
    return subprocess.Popen([os.path.join(gateway.build, "postern"), *words, "--config", gateway.config],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def worker(gateway, kind):
    """The process of the only worker of that kind."""
    return [each["pid"] for each in status(gateway)["workers"]
            if each["kind"] == kind and each["generation"] > 0][-1]


def has_asked(command):
    """Whether a command that was started waits for its answer: it has a socket, and sleeps."""
    folder = f"/proc/{command.pid}"
    with open(f"{folder}/stat", encoding="ascii") as file:
        sleeps = file.read().rsplit(")", 1)[1].split()[0] == "S"
    names = [os.readlink(f"{folder}/fd/{number}") for number in os.listdir(f"{folder}/fd")]
    return sleeps and any(name.startswith("socket:") for name in names)


def reload_under_way(gateway):
    """A reload that somebody waits for, and that has come to the master."""
    command = start_command(gateway, "reload")
    wait_for(lambda: has_asked(command), "the command to ask")
    # Who asks later comes later, to the control worker and to the master.
    check(b"under way" in ask(gateway, b"reload"), "a second reload was taken")
    return command


class Asking(threading.Thread):
    """Asks the same again and again, and notes what is no answer."""

    def __init__(self, question, is_answer):
        super().__init__(daemon=True)
        self.question, self.is_answer = question, is_answer
        self.ending = threading.Event()
        self.count, self.wrong = 0, []
        self.start()

    def run(self):
        while not self.ending.is_set():
            try:
                answer = self.question()
            except OSError as error:
                answer = error
            self.count += 1
            if isinstance(answer, OSError) or not self.is_answer(answer):
                self.wrong.append(answer)

    def stop(self):
        self.ending.set()
        self.join(60)


class ControlTests:
    """Each has a gateway of its own."""

    def every_command_is_answered_while_the_control_worker_is_replaced(self):
        gateway = self.gateway(workers=1)
        page = f"http://127.0.0.1:{gateway.ports['control']}/metrics"
        reload_answer = re.compile(rb"ok .*\n|failed another reload is under way[^\n]*\n")
        asking = [Asking(lambda: ask(gateway, b"status json"), lambda text: text.endswith(b"}\n")),
                  Asking(lambda: ask(gateway, b"status json"), lambda text: text.endswith(b"}\n")),
                  Asking(lambda: ask(gateway, b"edited"), lambda text: text == b"ok\n"),
                  Asking(lambda: ask(gateway, b"reload"), reload_answer.fullmatch),
                  Asking(lambda: urllib.request.urlopen(page, timeout=20).read(),
                         lambda text: b"postern_worker_deaths_total 0\n" in text)]
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        for number in range(6):
            before = worker(gateway, "control")
            gateway.write("postern.lua", text + f'\nlog_file = "{gateway.directory}/{number}.log"\n')
            wait_for(lambda old=before: worker(gateway, "control") != old, "another control worker", 30)
        for each in asking:
            each.stop()
        print("# asked " + ", ".join(str(each.count) for each in asking))
        for each in asking:
            check(not each.wrong, f"{len(each.wrong)} of {each.count} had no answer, as {each.wrong[:2]}")
            check(each.count >= 6, f"only {each.count} questions")

    def a_reload_whose_control_worker_dies_says_so(self):
        gateway = self.gateway(workers=1)
        stopped = edges(gateway)[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            control = worker(gateway, "control")
            command = reload_under_way(gateway)
            os.kill(control, signal.SIGKILL)
            said, complaint = command.communicate(timeout=30)
        finally:
            os.kill(stopped, signal.SIGCONT)
        check(command.returncode == 1 and said == "", f"{command.returncode} {said!r}")
        check("ended the connection before it had answered" in complaint and "postern status" in complaint,
              f"it says: {complaint!r}")
        # A question is asked again, and nobody notices.
        check(status(gateway)["worker_deaths"] == 1, "the death was not counted")
        # Given up with it, or carried out when the other one woke up first.
        wait_for(lambda: re.search("its answer was: (failed|ok)", log_text(gateway)), "the answer in the log")
        wait_for(lambda: postern(gateway, "reload").returncode == 0, "another reload")

    def a_reload_that_is_under_way_is_answered_by_a_control_worker_that_leaves(self):
        gateway = self.gateway(workers=1, settings='reload_deadline = "1s"')
        edit(gateway, 'stop_grace = "2s"', 'stop_grace = "20s"')
        check(postern(gateway, "reload").returncode == 0, "reload")
        stopped = edges(gateway)[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            control = worker(gateway, "control")
            command = reload_under_way(gateway)
            os.kill(control, signal.SIGTERM)
            said, complaint = command.communicate(timeout=30)
        finally:
            os.kill(stopped, signal.SIGCONT)
        check(command.returncode == 1 and "edge 0 was not ready in time" in complaint,
              f"{command.returncode} {said!r} {complaint!r}")
        wait_for(lambda: worker(gateway, "control") != control, "another control worker")

    def silent_and_surplus_clients_of_the_control_socket_are_told(self):
        gateway = self.gateway(workers=1)
        silent = [control_socket(gateway) for _ in range(16)]  # all of them before the next one
        done = postern(gateway, "reload")
        check(done.returncode == 1 and "too many commands are at work" in done.stderr,
              f"{done.returncode} {done.stderr!r}")
        for client in silent:
            check(read_all(client) == b"failed no command came in time\n", "a silent one was not told")
            client.close()
        check(ask(gateway, b"dance").startswith(b"failed this gateway does not know"), "an unknown command")
        check(postern(gateway, "reload").returncode == 0, "reload")

    def lazy(self):
        """A gateway whose workers do not start while the file "wait" is there; and the configuration's text."""
        directories = f'module_directories = {{ "{self.build}/modules", "{self.build}/tests/modules" }}'
        gateway = self.gateway(start=False, workers=2)
        edit(gateway, f'module_directories = {{ "{gateway.build}/modules" }}',
             directories.replace(self.build, gateway.build))
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read() + f'\nmodule "lazy" {{ waits_for = "{gateway.directory}/wait" }}\n'
        gateway.write("postern.lua", text)
        gateway.start()
        gateway.write("wait", "")
        return gateway, text

    lazy.is_helper = True

    def one_that_starts(self, gateway, gone):
        """Ends an edge worker; returns the one that starts in its place."""
        os.kill(gone, signal.SIGKILL)
        return wait_for(lambda: [each["pid"] for each in status(gateway)["workers"]
                                 if each["kind"] == "edge" and each["pid"] != gone and
                                 each["generation"] == 0], "a worker that starts")[0]

    one_that_starts.is_helper = True

    def a_worker_that_a_reload_overtakes_starts_with_what_is_in_use(self):
        gateway, text = self.lazy()
        starting = self.one_that_starts(gateway, edges(gateway)[0])
        gateway.write("postern.lua", text.replace('module "smtp" { as = "mx",',
                                                  'module "smtp" { as = "mx", greeting = "new",'))
        done = postern(gateway, "reload")
        check(done.returncode == 0 and "generation 2" in done.stdout, f"{done.stdout} {done.stderr}")
        check(status(gateway)["generation"] == 2, "the generation")
        os.unlink(os.path.join(gateway.directory, "wait"))
        wait_for(lambda: len(edges(gateway)) == 2, "two workers", 20)
        check(edges(gateway)[0] != starting, "it serves with what it prepared from two configurations")
        check(all(each["generation"] == 2 for each in status(gateway)["workers"]), status(gateway))
        check(status(gateway)["worker_deaths"] == 1, "it was ended, and not asked to")

    def a_worker_that_dies_at_its_start_holds_no_reload_up(self):
        gateway, _ = self.lazy()
        starting, other = self.one_that_starts(gateway, edges(gateway)[0]), edges(gateway)[1]
        os.kill(other, signal.SIGSTOP)
        try:
            command = reload_under_way(gateway)
            self.one_that_starts(gateway, starting)
        finally:
            os.kill(other, signal.SIGCONT)
        said, complaint = command.communicate(timeout=60)
        check(command.returncode == 0 and "generation 2" in said, f"{said} {complaint}")
        os.unlink(os.path.join(gateway.directory, "wait"))
        wait_for(lambda: len(edges(gateway)) == 2, "two workers", 20)
        os.kill(edges(gateway)[0], signal.SIGSTOP)
        stopped = edges(gateway)[0]
        try:
            command = reload_under_way(gateway)
            os.kill(edges(gateway)[1], signal.SIGKILL)
            said, complaint = command.communicate(timeout=60)
        finally:
            os.kill(stopped, signal.SIGCONT)
        check(command.returncode == 1 and "edge 1 ended while it prepared" in complaint, f"{said} {complaint}")
