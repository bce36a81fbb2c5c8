# SPDX-License-Identifier: Apache-2.0
"""Postfix, Exim and OpenSMTPD for tests: each in a directory and in namespaces of its own.

    place = Place(directory, gateway.ports["mx"], sink.port)
    server = Postfix(place, "127.0.0.11")
    server.start()       # Missing where it cannot be had here
    server.stop()

Each takes mail for good0@ to good60@ of its own domain (others are unknown there) and hands it to the sink; mail
for example.test goes to the gateway, with STARTTLS; all else to the sink. Who connects from 127.0.0.0/8 may send.
Nothing of the system is touched: accounts, spools and /run are the namespace's, and what was started in it ends
with it. Postfix is the package that is installed; Exim and OpenSMTPD exclude it, and are unpacked below build/peers.
Needs root.
"""

import glob
import os
import shutil
import socket
import subprocess
import time

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "peers")
GOOD = 61
ACCOUNTS = ("Debian-exim", "opensmtpd", "opensmtpq")
# What is private in the namespace of a server. The first number of an account that no system has.
NAMESPACE = """
set -e
mount -t tmpfs -o mode=755 private /run
mount -t tmpfs -o mode=755 private /var/spool
mount --bind {directory}/passwd /etc/passwd
mount --bind {directory}/group /etc/group
mount --bind {directory}/resolv.conf /etc/resolv.conf
"""
FIRST_ID = 64100


class Missing(Exception):
    """A server that cannot be had here."""


def unpack(name, packages):
    """A directory with what Debian's packages hold, fetched once."""
    target = os.path.abspath(os.path.join(BUILD, name))
    if os.path.isdir(os.path.join(target, "usr")):
        return target
    downloads = os.path.join(BUILD, "packages")
    os.makedirs(downloads, exist_ok=True)
    done = subprocess.run(["apt-get", "download", "-q", *packages], cwd=downloads, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{name}: apt-get download: {done.stderr.strip()[-200:]}")
    for package in packages:
        files = sorted(glob.glob(os.path.join(downloads, package + "_*.deb")))
        subprocess.run(["dpkg", "-x", files[-1], target + ".new"], check=True)
    os.rename(target + ".new", target)
    return target


class Place:
    """What all servers have in common. `port` is free on each of their addresses."""

    def __init__(self, directory, gateway_port, sink_port, addresses):
        self.directory = directory
        self.gateway_port = gateway_port
        self.sink_port = sink_port
        self.port = self.find_port(addresses)
        self.certificate = os.path.join(directory, "peers.pem")
        self.key = os.path.join(directory, "peers.key")
        os.chmod(directory, 0o755)
        self.make_certificate()

    @staticmethod
    def find_port(addresses):
        for _ in range(100):
            sockets = [socket.socket() for _ in addresses]
            try:
                sockets[0].bind((addresses[0], 0))
                port = sockets[0].getsockname()[1]
                for each, address in zip(sockets[1:], addresses[1:]):
                    each.bind((address, port))
                return port
            except OSError:
                continue
            finally:
                for each in sockets:
                    each.close()
        raise Missing("no port is free")

    def make_certificate(self):
        names = ",".join(f"DNS:mx.{name}.test" for name in ("postfix", "exim", "opensmtpd"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=peers.test", "-addext",
                        f"subjectAltName={names}", "-keyout", self.key, "-out", self.certificate],
                       check=True, capture_output=True)


class Server:
    """One server; subclasses write its configuration."""

    name = ""
    has_utf8 = True
    has_tls = True
    reports = True  # success, to senders of mail that it hands to servers without DSN

    def __init__(self, place, address):
        self.place = place
        self.address = address
        self.port = place.port
        self.domain = f"{self.name}.test"
        self.host = f"mx.{self.name}.test"
        self.directory = os.path.join(place.directory, self.name)
        self.process = None

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def write_accounts(self):
        for kind, form in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
            with open(f"/etc/{kind}", encoding="utf-8") as file:
                text = file.read()
            for number, account in enumerate(ACCOUNTS):
                if not any(line.startswith(account + ":") for line in text.splitlines()):
                    text += form.format(account, FIRST_ID + number)
            self.write(kind, text)
        self.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def owned_by(self, account, path):
        """Gives a file to an account of the namespace."""
        with open(os.path.join(self.directory, "passwd"), encoding="utf-8") as file:
            words = next(line.split(":") for line in file if line.startswith(account + ":"))
        os.chown(path, int(words[2]), int(words[3]))

    def start(self):
        if os.geteuid() != 0:
            raise Missing(f"{self.name}: needs root")
        os.makedirs(self.directory)
        self.write_accounts()
        script = self.configure()
        with open(os.path.join(self.directory, "output"), "wb") as output:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "bash", "-c",
                 NAMESPACE.format(directory=self.directory) + script],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        self.wait()

    def wait(self):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection((self.address, self.port), timeout=5) as client:
                    if client.recv(3) == b"220":
                        return
            except OSError:
                pass
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.name} does not start:\n{self.log()}")

    def log(self):
        """The end of what it said."""
        text = ""
        for path in [os.path.join(self.directory, "output"), os.path.join(self.directory, "mail.log"),
                     os.path.join(self.directory, "spool", "mainlog")]:
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8", errors="replace") as file:
                text += "".join(f"    {self.name}: {line}" for line in file.readlines()[-25:])
        return text

    def stop(self):
        """Ends the process whose end ends the namespace."""
        if self.process is not None:
            process, self.process = self.process, None
            process.kill()
            process.wait()

    def configure(self):
        """Writes what it needs; the shell script that runs it in the foreground."""
        raise NotImplementedError


class Postfix(Server):
    """Postfix."""

    name = "postfix"

    def configure(self):
        if not os.access("/usr/lib/postfix/sbin/master", os.X_OK):
            raise Missing("postfix: is not installed")
        place = self.place
        os.mkdir(os.path.join(self.directory, "spool"))
        os.mkdir(os.path.join(self.directory, "data"))
        shutil.chown(os.path.join(self.directory, "data"), "postfix")
        self.write("known", f"/^good[0-9]+@{self.name}[.]test$/ x\n/^gr.+n@{self.name}[.]test$/ x\n")
        self.write("main.cf", f"""compatibility_level = 3.6
queue_directory = {self.directory}/spool
data_directory = {self.directory}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
maillog_file = {self.directory}/mail.log
maillog_file_prefixes = {self.directory}
mail_owner = postfix
setgid_group = postdrop
myhostname = {self.host}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_bind_address = {self.address}
smtp_host_lookup = native
smtp_send_xforward_command = yes
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtputf8_enable = yes
alias_maps =
local_recipient_maps =
relay_domains = {self.domain}
relay_recipient_maps = regexp:{self.directory}/known
relay_transport = smtp:[127.0.0.1]:{place.sink_port}
default_transport = smtp:[127.0.0.1]:{place.sink_port}
transport_maps = inline:{{ {{ example.test = smtp:[127.0.0.1]:{place.gateway_port} }} }}
message_size_limit = 104857600
queue_run_delay = 1s
minimal_backoff_time = 1s
smtpd_client_connection_count_limit = 0
smtpd_tls_cert_file = {place.certificate}
smtpd_tls_key_file = {place.key}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtp_tls_security_level = none
smtp_tls_policy_maps = inline:{{ {{ [127.0.0.1]:{place.gateway_port} = encrypt }} }}
""")
        self.write("master.cf", f"""{self.address}:{self.port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
""")
        return (f"postfix -c {self.directory} check || true\n"
                f"/usr/lib/postfix/sbin/master -c {self.directory} -e 900\nexit 1\n")


class Exim(Server):
    """Exim."""

    name = "exim"

    def configure(self):
        program = os.path.join(unpack("exim", ("exim4-base", "exim4-daemon-light")), "usr/sbin/exim4")
        place = self.place
        os.mkdir(os.path.join(self.directory, "spool"))
        shutil.copy(place.key, os.path.join(self.directory, "key"))
        for name in ("spool", "key"):
            self.owned_by("Debian-exim", os.path.join(self.directory, name))
        path = self.write("exim.conf", f"""exim_path = {program}
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {self.directory}/spool
log_file_path = {self.directory}/spool/%slog
pid_file_path = {self.directory}/spool/exim.pid
primary_hostname = {self.host}
local_interfaces = {self.address}
daemon_smtp_ports = {self.port}
tls_advertise_hosts = *
tls_certificate = {place.certificate}
tls_privatekey = {self.directory}/key
dsn_advertise_hosts = *
message_size_limit = 100M
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
begin acl
acl_rcpt:
  accept domains = {self.domain}
         local_parts = ^good[0-9]+\\$ : ^gr.*n\\$
  deny domains = {self.domain}
       message = 550 5.1.1 no such user at {self.domain}
  accept
acl_data:
  accept
begin routers
gateway:
  driver = manualroute
  domains = example.test
  route_list = * 127.0.0.1::{place.gateway_port}
  self = send
  transport = secure
sink:
  driver = manualroute
  route_list = * 127.0.0.1::{place.sink_port}
  self = send
  transport = clear
begin transports
secure:
  driver = smtp
  allow_localhost
  hosts_require_tls = *
  tls_try_verify_hosts = :
  interface = {self.address}
clear:
  driver = smtp
  allow_localhost
  hosts_avoid_tls = *
begin retry
* * F,1h,2s
""")
        # Another file than the one compiled in would take its privileges away.
        return (f"mount -t tmpfs -o mode=755 private /var/lib\nmkdir /var/lib/exim4\n"
                f"cp {path} /var/lib/exim4/config.autogenerated\n"
                f"{program} -bdf -q2s\nexit 1\n")


class OpenSmtpd(Server):
    """OpenSMTPD. The paths of its spool, of its helpers and of its empty directory are compiled in. Debian's
    (6.8.0p2 with OpenSSL 3) offers STARTTLS, and breaks off every handshake."""

    name = "opensmtpd"
    has_utf8 = False
    has_tls = False
    reports = False

    def configure(self):
        programs = os.path.join(unpack("opensmtpd", ("opensmtpd",)), "usr")
        place = self.place
        shutil.copy(place.key, os.path.join(self.directory, "key"))
        os.chmod(os.path.join(self.directory, "key"), 0o600)
        known = ", ".join(f'"good{number}@{self.domain}"' for number in range(GOOD))
        path = self.write("smtpd.conf", f"""pki peers cert "{place.certificate}"
pki peers key "{self.directory}/key"
smtp max-message-size 100M
table known {{ {known} }}
listen on {self.address} port {self.port} hostname {self.host} tls pki peers
action "gateway" relay host "smtp+tls://127.0.0.1:{place.gateway_port}" tls no-verify
action "sink" relay host "smtp+notls://127.0.0.1:{place.sink_port}"
match from any for rcpt-to <known> action "sink"
match from any for domain "{self.domain}" reject
match from any for domain "example.test" action "gateway"
match from any for any action "sink"
""", 0o600)
        self.write("resolv.conf", "lookup file\n")
        return (f"mount -t tmpfs -o mode=755 private /var/lib\n"
                f"mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd /run/opensmtpd\n"
                f"chmod 711 /var/spool/smtpd\n"
                f"mount -t tmpfs -o mode=755 private /usr/libexec\n"
                f"ln -s {programs}/libexec/opensmtpd /usr/libexec/opensmtpd\n"
                f"{programs}/sbin/smtpd -d -f {path}\nexit 1\n")


SERVERS = (Postfix, Exim, OpenSmtpd)
