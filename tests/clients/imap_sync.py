# SPDX-License-Identifier: Apache-2.0
"""Clients that keep two places the same: mbsync, offlineimap, interimap, Dovecot's doveadm.

Each goes through the same story. Messages are on one side and come to the other; then both sides
change (new ones, flags, deletions), and after one run both are the same; and one more run changes
nothing on either side.
"""

import os
import pwd
import signal
import socket
import subprocess
import time

from gateway import PASSWORD, free_ports
from imap_mailbox import (Failure, Skipped, account, append, change_flags, client, contents, delete,
                          fill, folder, has_flags, key_of, maildir, maildir_add,
                          maildir_flag, messages, run, same_bytes, same_on_server, session, state,
                          tree, with_crlf)


# ---- mbsync and offlineimap: a Maildir here ----

def both_ways_with_maildir(gateway, user, synchronise, local, sub, take_away):
    """The story, with a Maildir for each mailbox; `sub` is the one of "work/papers". `take_away` is
    how this client is told that a file's message is to go."""
    sent = fill(gateway, user, 12, flags=lambda n: r"\Seen" if n % 3 == 0 else
                r"\Flagged \Answered" if n % 3 == 1 else "")
    more = fill(gateway, user, 5, box="work/papers")
    synchronise()
    here = maildir(local)
    same_bytes({key_of(data): with_crlf(data) for _, data in sent},
               {key: strip_added(each[0]) for key, each in here.items()}, "what came")
    for number, (_, data) in enumerate(sent):
        wanted = ({"S"}, {"F", "R"}, set())[number % 3]
        if here[key_of(data)][1] != wanted:
            raise Failure(f"number {number} came with the flags {here[key_of(data)][1]}")
    same_bytes({key_of(data): data for _, data in more},
               {key: strip_added(each[0]) for key, each in maildir(sub).items()}, "what came of work/papers")

    keys = [key_of(data) for _, data in sent]
    maildir_flag(here[keys[2]][2], "FS")             # flags here
    take_away(here[keys[5]][2])                      # gone here
    new = [(f"new{n}", f"Message-ID: <new{n}@here>\r\nSubject: new {n}\r\n\r\ntext {n}\r\n".encode())
           for n in range(3)]
    for number, (_, data) in enumerate(new):
        maildir_add(local, data, "S" if number == 0 else "")
    change_flags(gateway, user, keys[8], "+FLAGS", r"\Seen \Flagged")   # flags there
    change_flags(gateway, user, keys[0], "-FLAGS", r"\Seen")
    delete(gateway, user, keys[9])                   # gone there
    there = session(gateway, user)
    extra = b"Message-ID: <extra@there>\r\nSubject: extra\r\n\r\nextra\r\n"
    append(there, "work/papers", extra, r"\Answered")
    there.logout()
    synchronise()

    wanted = {key_of(data): data for number, (_, data) in enumerate(sent) if number not in (5, 9)}
    wanted.update({key_of(data): data for _, data in new})
    without = {key: strip_added(seen.data) for key, seen in contents(gateway, user).items()}
    same_bytes(wanted, without, "the server after both changed")
    here = maildir(local)
    same_bytes(wanted, {key: strip_added(each[0]) for key, each in here.items()},
               "the Maildir after both changed")
    has_flags(gateway, user, keys[2], r"\Seen \Flagged")
    has_flags(gateway, user, "<new0@here>", r"\Seen")
    has_flags(gateway, user, "<new1@here>", "")
    for key, flags in ((keys[8], {"S", "F"}), (keys[0], set()), (keys[2], {"S", "F"})):
        if here[key][1] != flags:
            raise Failure(f"{key} has the flags {here[key][1]} in the Maildir, not {flags}")
    if maildir(sub)["<extra@there>"][1] != {"R"}:
        raise Failure("the new one of work/papers came with other flags")

    before, files = state(gateway, user), (tree(local), tree(sub))
    synchronise()
    if state(gateway, user) != before:
        raise Failure(f"a run with nothing to do changed the server: {before} became "
                      f"{state(gateway, user)}")
    if (tree(local), tree(sub)) != files:
        raise Failure("a run with nothing to do changed the Maildir")


def strip_added(data):
    """Without the fields that these clients add to know a message again."""
    head, empty, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n")
             if not line.startswith((b"X-TUID: ", b"X-OfflineIMAP: "))]
    return b"\r\n".join(lines) + empty + body


def mbsync(port, tls):
    def check(gateway):
        path, user = client("mbsync"), account()
        home = folder(gateway, "mbsync")
        settings = gateway.write("mbsyncrc", f"""
IMAPAccount there
Host localhost
Port {gateway.ports[port]}
User {user}
Pass {PASSWORD}
AuthMechs {"PLAIN" if tls != "None" else "LOGIN"}
SSLType {tls}
CertificateFile {gateway.directory}/certificate.pem
SystemCertificates no

IMAPStore there
Account there

MaildirStore here
Path {home}/mail/
Inbox {home}/mail/INBOX
SubFolders Verbatim

Channel all
Far :there:
Near :here:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
CopyArrivalDate yes
""")
        os.mkdir(f"{home}/mail")

        def synchronise():
            run([path, "--config", settings, "--all"], env=dict(os.environ, HOME=home))

        both_ways_with_maildir(gateway, user, synchronise, f"{home}/mail/INBOX",
                               f"{home}/mail/work/papers", lambda file: maildir_flag(file, "ST"))
    return check


def offlineimap(port, secure):
    def check(gateway):
        path, user = client("offlineimap"), account()
        home = folder(gateway, "offlineimap")
        settings = gateway.write("offlineimaprc", f"""
[general]
accounts = it
metadata = {home}/metadata
ui = basic
[Account it]
localrepository = here
remoterepository = there
[Repository here]
type = Maildir
localfolders = {home}/mail
sep = /
startdate =
[Repository there]
type = IMAP
remotehost = localhost
remoteport = {gateway.ports[port]}
remoteuser = {user}
remotepass = {PASSWORD}
ssl = {"yes" if secure == "tls" else "no"}
starttls = {"yes" if secure == "starttls" else "no"}
sslcacertfile = {gateway.directory}/certificate.pem
auth_mechanisms = PLAIN, LOGIN
maxconnections = 2
""".replace("startdate =\n", ""))

        def synchronise():
            output = run([path, "-o", "-c", settings], env=dict(os.environ, HOME=home))
            if b"ERROR" in output:
                raise Failure("offlineimap: " + output.decode(errors="replace")[-2000:])

        both_ways_with_maildir(gateway, user, synchronise, f"{home}/mail/INBOX",
                               f"{home}/mail/work/papers", os.unlink)
    return check


# ---- a Dovecot ----

class Dovecot:
    """A Dovecot on ports of its own, for the time of a with block."""

    def __init__(self, gateway):
        self.path = "/usr/sbin/dovecot"  # not where everybody's PATH leads
        if not os.path.exists(self.path):
            raise Skipped("dovecot is not installed")
        self.directory = folder(gateway, "dovecot")
        self.ports = free_ports(("imap",))
        self.process = None
        owner = pwd.getpwuid(os.getuid())
        if owner.pw_uid == 0:
            owner = pwd.getpwnam("mail")
        self.config = gateway.write("dovecot.conf", f"""
base_dir = {self.directory}/run
state_dir = {self.directory}/run
log_path = {self.directory}/log
listen = 127.0.0.1
protocols = imap
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
first_valid_uid = 1
mail_location = maildir:~/Maildir:LAYOUT=fs
namespace inbox {{
  inbox = yes
  separator = /
}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={owner.pw_uid} gid={owner.pw_gid} home={self.directory}/mail/%n allow_all_users=yes
}}
service imap-login {{
  inet_listener imap {{
    port = {self.ports["imap"]}
  }}
  chroot =
}}
imapc_host = 127.0.0.1
imapc_port = {gateway.ports["imap"]}
imapc_ssl = no
imapc_features = rfc822.size fetch-headers modseq
""")
        os.mkdir(f"{self.directory}/mail")
        for place in (gateway.directory, self.directory):
            os.chmod(place, 0o755)
        os.chown(f"{self.directory}/mail", owner.pw_uid, owner.pw_gid)

    def __enter__(self):
        self.process = subprocess.Popen([self.path, "-F", "-c", self.config],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.ports["imap"]), 5).close()
                return self
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise Failure("Dovecot does not start: " + self.log()) from None
                time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def __exit__(self, *_):
        self.stop()

    def log(self):
        try:
            with open(f"{self.directory}/log", encoding="utf-8", errors="replace") as file:
                return file.read()[-2000:]
        except OSError:
            return "(no log)"


# ---- interimap: two servers with QRESYNC ----

def interimap(gateway, left, right, other):
    """The story between two accounts, of `gateway` and of `other`."""
    path = client("interimap")
    home = folder(gateway, "interimap")
    settings = gateway.write("interimaprc", "".join(
        [f"database = {home}/state.db\n"] + [f"""
[{name}]
type = imap
host = 127.0.0.1
port = {place.ports["imap"]}
username = {user}
password = {PASSWORD}
STARTTLS = NO
compress = NO
""" for name, place, user in (("local", gateway, left), ("remote", other, right))]))
    environment = dict(os.environ, HOME=home, XDG_DATA_HOME=home, XDG_CONFIG_HOME=home)

    def synchronise():
        output = run([path, "--config", settings], env=environment)
        for word in (b"Conflicting", b"No match", b"ERROR", b"BUG", b"violation"):
            if word in output:
                raise Failure("interimap: " + output.decode(errors="replace")[-2000:])

    def same(what):
        for box in ("INBOX", "work/papers"):
            here, there = contents(gateway, left, box), contents(other, right, box)
            same_bytes({key: seen.data for key, seen in here.items()},
                       {key: seen.data for key, seen in there.items()}, f"{what}: {box}")
            for key, seen in here.items():
                if seen.flags != there[key].flags:
                    raise Failure(f"{what}: {key} has {seen.flags} here and {there[key].flags} there")

    sent = fill(gateway, left, 12, kind="varied",
                flags=lambda n: (r"\Seen", r"\Flagged \Answered", "")[n % 3])
    fill(gateway, left, 6, box="work/papers")
    synchronise()
    same("after the first run")
    if len(contents(other, right)) != len(sent):
        raise Failure("not everything came")
    keys = [key_of(data) for _, data in sent]
    for round_ in range(2):
        change_flags(gateway, left, keys[1 + round_], "+FLAGS", r"\Seen")
        change_flags(gateway, left, keys[3], "FLAGS", (r"\Draft", "")[round_])
        change_flags(other, right, keys[5], ("+FLAGS", "-FLAGS")[round_], r"\Answered")
        delete(gateway, left, keys[7 + round_])
        delete(other, right, keys[9 + round_])
        for number, (place, user) in enumerate(((gateway, left), (other, right))):
            there = session(place, user)
            for box in ("INBOX", "work/papers"):
                name = f"<new{round_}.{number}.{box}@x>"
                append(there, box, f"Message-ID: {name}\r\n\r\n{number}\r\n".encode(), r"\Flagged")
            there.logout()
        synchronise()
        same(f"after change {round_}")
    found = contents(gateway, left)
    if any(keys[number] in found for number in (7, 8, 9, 10)) or len(found) != len(sent):
        raise Failure(f"{len(found)} messages, with {set(keys) & set(found)}")
    before = state(gateway, left), state(other, right)
    synchronise()
    if (state(gateway, left), state(other, right)) != before:
        raise Failure("a run with nothing to do changed something")


def interimap_of_two_accounts(gateway):
    interimap(gateway, account(), account(), gateway)


def interimap_with_dovecot(gateway):
    client("interimap")
    with Dovecot(gateway) as dovecot:
        interimap(gateway, account(), "theirs", dovecot)


# ---- Dovecot's own way to copy and to synchronise: imapc and dsync ----

def doveadm_backup(gateway):
    """The Dovecot becomes what is here, and again after changes."""
    path, user = client("doveadm"), account()
    with Dovecot(gateway) as dovecot:
        def synchronise():
            run([path, "-c", dovecot.config, "-o", f"imapc_user={user}", "-o",
                 f"imapc_password={PASSWORD}", "backup", "-R", "-u", "mine", "imapc:"],
                statuses=(0, 2))

        def same(what):
            for box in ("INBOX", "work/papers"):
                here, there = contents(gateway, user, box), contents(dovecot, "mine", box)
                same_bytes({key: seen.data for key, seen in here.items()},
                           {key: seen.data for key, seen in there.items()}, f"{what}: {box}")
                for key, seen in here.items():
                    if seen.flags != there[key].flags or seen.uid != there[key].uid:
                        raise Failure(f"{what}: {key} is {seen.uid}, {seen.flags}, and on the other "
                                      f"side {there[key].uid}, {there[key].flags}")

        fill(gateway, user, 10, kind="varied",
             flags=lambda n: (r"\Seen", r"\Flagged \Answered", r"\Draft $Work")[n % 3])
        fill(gateway, user, 4, box="work/papers")
        synchronise()
        same("at first")
        keys = sorted(contents(gateway, user))
        if len(keys) != 10:
            raise Failure(f"{len(keys)} messages instead of 10")
        change_flags(gateway, user, keys[0], "+FLAGS", r"\Answered")
        change_flags(gateway, user, keys[1], "FLAGS", r"\Draft")
        delete(gateway, user, keys[2])
        there = session(gateway, user)
        append(there, "work/papers", b"Message-ID: <new@x>\r\n\r\nx\r\n", r"\Seen")
        there.logout()
        synchronise()
        same("after changes")
        before = state(gateway, user), state(dovecot, "mine")
        synchronise()
        if (state(gateway, user), state(dovecot, "mine")) != before:
            raise Failure("a run with nothing to do changed something")


def doveadm_through_imapc(gateway):
    """Dovecot with this server as its storage: what doveadm does there happens here. (Two-way
    synchronisation through imapc is more than it can do with any server.)"""
    path, user = client("doveadm"), account()
    sent = messages(6, "varied")
    with Dovecot(gateway) as dovecot:
        def doveadm(*words, data=b""):
            return run([path, "-c", dovecot.config, "-o", f"imapc_user={user}", "-o",
                        f"imapc_password={PASSWORD}", "-o", "mail_location=imapc:~/imapc", *words],
                       data)

        for _, data in sent:
            doveadm("save", "-u", "mine", "-m", "INBOX", data=data)
        same_on_server(gateway, user, sent, "doveadm save")
        keys = [key_of(data) for _, data in sent]
        doveadm("mailbox", "create", "-u", "mine", "done", "done/for/good")
        doveadm("flags", "add", "-u", "mine", r"\Flagged $Work", "mailbox", "INBOX", "HEADER",
                "Message-ID", keys[1])
        has_flags(gateway, user, keys[1], r"\Flagged $Work")
        doveadm("copy", "-u", "mine", "done", "mailbox", "INBOX", "FLAGGED")
        has_flags(gateway, user, keys[1], r"\Flagged $Work", "done")
        doveadm("move", "-u", "mine", "done/for/good", "mailbox", "INBOX", "HEADER", "Message-ID",
                keys[2])
        doveadm("expunge", "-u", "mine", "mailbox", "INBOX", "HEADER", "Message-ID", keys[3])
        if set(contents(gateway, user, "done/for/good")) != {keys[2]} or \
                set(contents(gateway, user)) != set(keys) - {keys[2], keys[3]}:
            raise Failure("move and expunge did not happen as they should")
        text = doveadm("fetch", "-u", "mine", "text", "mailbox", "INBOX", "HEADER", "Message-ID",
                       keys[4])
        if sent[4][1].replace(b"\r\n", b"\n").strip() not in text.replace(b"\r\n", b"\n"):
            raise Failure(f"doveadm fetch: {text[:300]!r}")
        doveadm("mailbox", "rename", "-u", "mine", "done", "over")
        if set(contents(gateway, user, "over/for/good")) != {keys[2]}:
            raise Failure("doveadm mailbox rename did not take what is below")


CHECKS = [
    ("mbsync_both_ways", mbsync("imap", "None")),
    ("mbsync_both_ways_over_starttls", mbsync("imap", "STARTTLS")),
    ("mbsync_both_ways_over_tls", mbsync("imaps", "IMAPS")),
    ("offlineimap_both_ways", offlineimap("imap", "")),
    ("offlineimap_both_ways_over_tls", offlineimap("imaps", "tls")),
    ("interimap_between_two_accounts", interimap_of_two_accounts),
    ("interimap_with_dovecot", interimap_with_dovecot),
    ("doveadm_backup", doveadm_backup),
    ("doveadm_through_imapc", doveadm_through_imapc),
]
