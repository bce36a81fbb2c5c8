# SPDX-License-Identifier: Apache-2.0
"""A gateway for tests: one that runs on ports and in a directory of its own.

    with Gateway(build) as gateway:
        smtplib.SMTP("127.0.0.1", gateway.ports["mx"])

What is not given is as in configuration(): instances mx, submission, lmtp, pop3 and imap, accounts
alice, bob, carol and dora (all with the password "postern"), domain example.test, no policy.
When the with block ends, the gateway gets SIGTERM and must exit with 0; when it ends with an
exception, or the gateway does not do as it should, the end of its log is shown. Only the process
that was started here is ever signalled.
"""

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PASSWORD = "postern"
DOMAIN = "example.test"
READY = "postern: ready"
FINDINGS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:",
            "internal error:")
PORT_NAMES = ("mx", "submission", "submissions", "lmtp", "pop3", "pop3s", "imap", "imaps",
              "control")

# "postern": SHA-512 and bcrypt at their lowest cost, and yescrypt.
SHA512 = ("$6$rounds=1000$example$"
          "gMibKQIeikkbOu7V8OtIm4kd225ofTJwy/o254pxcHRjT2LMh01w/YYJZYOqAE2bNJg0TJ8gOk1KW9gsaDFcn0")
BCRYPT = "$2b$04$8HWbGzo2HL68pNiJsP1U1uVHCnB.3n4iJY7LytA.uh3eS59xhxGP2"
YESCRYPT = "$y$j75$/pYM3oW7MpaUt7On4gMD31$CYhOtS7p3RN3zfa/4rTIelZs.H4kxAzb49RtC3B3FeC"

USERS = f"""# accounts of the tests
alice@{DOMAIN}:{SHA512}:
bob@{DOMAIN}:{BCRYPT}:
carol@{DOMAIN}:{YESCRYPT}:
dora@{DOMAIN}:{SHA512}:disabled=yes
alias team@{DOMAIN}: alice@{DOMAIN}, bob@{DOMAIN}
alias postmaster@{DOMAIN}: alice@{DOMAIN}
"""


RESERVED = "/tmp/postern-test-ports"
_reserved = []


def reserve_port(port, host="127.0.0.1"):
    """Whether the port is free, and this program's from now on: no other test takes it, also while
    nobody listens on it because a gateway is just being started again."""
    os.makedirs(RESERVED, exist_ok=True)
    lock = os.open(os.path.join(RESERVED, str(port)), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind((host, port))
    except OSError:
        os.close(lock)
        return False
    _reserved.append(lock)
    return True


def free_ports(names, host="127.0.0.1"):
    """A free port for each name: not one that the kernel gives to connections, or somebody else's
    could have taken it by the time it is listened on."""
    ports = {}
    for name in names:
        while name not in ports:
            port = random.randrange(10000, 32000)
            if reserve_port(port, host):
                ports[name] = port
    return ports


def make_certificate(directory):
    """A self-signed certificate for localhost; returns the paths of certificate and key."""
    certificate = os.path.join(directory, "certificate.pem")
    key = os.path.join(directory, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", certificate],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o600)
    return certificate, key


def configuration(build, directory, ports, settings="", mx="", submission="", lmtp="", pop3="",
                  imap="", auth="", store='module "store_local" { as = "local" }', more="", tls=True,
                  data=None, workers=2, user="", **_unused):
    """The text of a configuration file. The arguments are Lua, put where their names say;
    `data` is a directory for the mail that is not beside the file."""
    data = data or f"{directory}/data"
    # A build of some modules only has no IMAP server.
    has_imap = os.path.exists(f"{build}/modules/imap.so")
    imap_lines = ""
    if has_imap:
        imap_lines = (f'module "imap" {{ plaintext_login = "loopback", {imap} }}\n'
                      f'listen {{ "127.0.0.1:{ports["imap"]}", to = "imap" }}')
    certificate = ""
    if tls:
        certificate = (f'certificate {{ "{directory}/certificate.pem", '
                       f'key = "{directory}/key.pem" }}\n'
                       f'listen {{ "127.0.0.1:{ports["submissions"]}", to = "submission", '
                       f'tls = "implicit" }}\n'
                       f'listen {{ "127.0.0.1:{ports["pop3s"]}", to = "pop3", '
                       f'tls = "implicit" }}\n'
                       + (f'listen {{ "127.0.0.1:{ports["imaps"]}", to = "imap", '
                          f'tls = "implicit" }}\n' if has_imap else ""))
    return f"""hostname = "mx.{DOMAIN}"
data_directory = "{data}"
user = "{user}"
module_directories = {{ "{build}/modules" }}
edge_workers = {workers}
stop_grace = "2s"
control = "127.0.0.1:{ports["control"]}"
{settings}
{certificate}
listen {{ "127.0.0.1:{ports["mx"]}", to = "mx" }}
listen {{ "127.0.0.1:{ports["submission"]}", to = "submission" }}
listen {{ "127.0.0.1:{ports["lmtp"]}", to = "lmtp" }}
listen {{ "127.0.0.1:{ports["pop3"]}", to = "pop3" }}
{imap_lines}
domain "{DOMAIN}" {{ store = "local" }}
module "smtp" {{ as = "mx", profile = "mx", error_delay = "0s", {mx} }}
module "smtp" {{ as = "submission", profile = "submission", authentication = "required",
	plaintext_login = "loopback", error_delay = "0s", {submission} }}
module "smtp" {{ as = "lmtp", profile = "lmtp", error_delay = "0s", {lmtp} }}
module "pop3" {{ plaintext_login = "loopback", {pop3} }}
module "auth_file" {{ path = "{directory}/users", {auth} }}
{store}
{more}
"""


class GatewayError(Exception):
    """The gateway did not start, or did not stop, as it should."""


class Gateway:
    """A running gateway. `options` go to `configure`, which is configuration() if not given;
    `environment` is added to its environment."""

    def __init__(self, build, configure=configuration, users=USERS, start=True, environment=None,
                 **options):
        self.build = os.path.abspath(build)
        self.directory = tempfile.mkdtemp(prefix="postern-test-")
        self.environment = environment or {}
        self.ports = free_ports(PORT_NAMES)
        self.config = os.path.join(self.directory, "postern.lua")
        self.log = os.path.join(self.directory, "log")
        self.process = None
        self.output = []
        os.mkdir(os.path.join(self.directory, "data"), 0o700)
        if options.get("tls", True):
            make_certificate(self.directory)
        self.write("users", users)
        self.write("postern.lua", configure(self.build, self.directory, self.ports, **options))
        if start:
            try:
                self.start()
            except BaseException:
                self.remove()
                raise

    def write(self, name, text):
        """Puts a file into the directory of the gateway, in one step; returns its path."""
        path = os.path.join(self.directory, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path + ".new", 0o600)
        os.rename(path + ".new", path)
        return path

    def start(self, timeout=60):
        """Runs the gateway and waits until it serves; `ready_after` is how long that took."""
        ready = threading.Event()
        begin = time.monotonic()

        def read(stream):
            for line in stream:
                self.output.append(line)
                if line.strip() == READY:
                    ready.set()
            ready.set()

        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.build, "postern"), "serve", "--config", self.config],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True, env={**os.environ, **self.environment})
        self.output = []
        self.reader = threading.Thread(target=read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        if not ready.wait(timeout) or READY not in (line.strip() for line in self.output):
            self.kill()
            raise GatewayError("the gateway did not start:\n" + "".join(self.output) +
                               self.log_tail())
        self.ready_after = time.monotonic() - begin

    def stop(self, timeout=30):
        """SIGTERM, and the exit status, which must be 0."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.end_group(process)
            raise GatewayError("the gateway did not stop\n" + self.log_tail()) from None
        self.end_group(process)
        if status != 0:
            raise GatewayError(f"the gateway ended with {status}\n" + self.log_tail())
        self.check_log()

    def check_log(self):
        """A worker that a sanitizer or an assertion ended was replaced, and must not go unseen."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                log = file.read()
        except OSError:
            return
        for sign in FINDINGS:
            at = log.find(sign)
            if at >= 0:
                raise GatewayError("the log has a finding:\n" + log[max(0, at - 200):at + 4000])

    @staticmethod
    def end_group(process):
        """What is left of the session that the gateway was started in."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        process.stdout.close()

    def kill(self):
        """SIGKILL for the gateway and all its workers."""
        if self.process is not None:
            process, self.process = self.process, None
            self.end_group(process)

    def log_tail(self, lines=40):
        """The end of the log."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join("    " + line for line in file.readlines()[-lines:])
        except OSError:
            return ""

    def findings(self):
        """What a sanitizer said in the log; nothing without one."""
        words = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                 "WARNING: ThreadSanitizer")
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return [line.strip() for line in file if any(word in line for word in words)]
        except OSError:
            return []

    def remove(self):
        """Ends it, whatever it does, and removes its directory (kept with POSTERN_TEST_KEEP=1)."""
        self.kill()
        if os.environ.get("POSTERN_TEST_KEEP"):
            print(f"# kept: {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        try:
            if kind is not None and issubclass(kind, Exception):
                sys.stderr.write("the log of the gateway ends with\n" + self.log_tail())
            else:
                self.stop()
        finally:
            self.remove()
