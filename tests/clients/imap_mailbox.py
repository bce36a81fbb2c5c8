# SPDX-License-Identifier: Apache-2.0
"""What is in a mailbox, seen through imaplib, and what a client's check is made of.

Each check takes an account of its own (account()), fills its mailboxes, lets the client work, and
compares bytes, flags and what is gone, on both sides.
"""

import email.utils
import imaplib
import itertools
import os
import re
import shutil
import subprocess
import time

import corpus
from gateway import DOMAIN, PASSWORD, SHA512

ACCOUNTS = 80
MINE = [f"reader{number}@{DOMAIN}" for number in range(ACCOUNTS)]
USERS = "".join(f"{account}:{SHA512}:\n" for account in MINE)
_next_account = itertools.count()


class Failure(Exception):
    """Something did not come out as it went in."""


class Skipped(Exception):
    """A client that is not there."""


def account():
    """An account that no other check has."""
    return MINE[next(_next_account)]


def client(name):
    path = shutil.which(name)
    if path is None:
        raise Skipped(f"{name} is not installed")
    return path


def run(command, data=b"", statuses=(0,), timeout=120, **options):
    """Runs a client; its output, or a Failure with the end of it."""
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, check=False, **options)
    if done.returncode not in statuses:
        raise Failure(f"{os.path.basename(command[0])} ended with {done.returncode}:\n" +
                      done.stdout.decode(errors="replace")[-3000:])
    return done.stdout


def folder(gateway, name):
    """A new directory beside the gateway's."""
    path = os.path.join(gateway.directory, f"client-{name}-{next(_next_folder)}")
    os.mkdir(path)
    return path


_next_folder = itertools.count()


# ---- the server's side, through imaplib ----

def session(gateway, user):
    """An imaplib session, logged in."""
    found = imaplib.IMAP4("127.0.0.1", gateway.ports["imap"], timeout=60)
    found.login(f'"{user}"', PASSWORD)
    return found


def good(answer):
    """The data of an answer that must be OK."""
    if answer[0] != "OK":
        raise Failure(f"the server said {answer}")
    return answer[1]


def quoted(box):
    return '"' + box.replace("\\", "\\\\").replace('"', '\\"') + '"'


def append(there, box, data, flags="", date=None):
    when = imaplib.Time2Internaldate(date if date is not None else time.time())
    good(there.append(quoted(box), f"({flags})", when, data))


def messages(count, kind="varied"):
    """[(name, bytes)] to fill mailboxes with: such that every client passes them on ("tame"), or
    any. Each has a Message-ID of its own."""
    found = corpus.messages(count=120)[1:]
    if kind == "tame":
        # Python's e-mail package, which some clients use, writes nested parts anew.
        found = corpus.tame([each for each in found if not each[0].startswith(("mime_", "boundary_"))],
                            count)
    else:
        found = [each for each in found if 0 < len(each[1]) < 300000]
        found = found[::max(1, len(found) // count)][:count]
    return [(name, f"Message-ID: <{name}.{number}@corpus.example>\r\nDate: "
             f"{email.utils.formatdate(1600000000 + 60 * number)}\r\n".encode() + data)
            for number, (name, data) in enumerate(found)]


def fill(gateway, user, count=10, box="INBOX", kind="tame", flags=None):
    """Puts messages into a mailbox; returns them. `flags` is a text for each number, or None."""
    there = session(gateway, user)
    if box != "INBOX":
        there.create(quoted(box))
    found = messages(count, kind)
    for number, (_, data) in enumerate(found):
        append(there, box, data, flags(number) if flags else "", 1600000000 + 60 * number)
    there.logout()
    return found


class Seen:
    """A message as the server has it."""

    def __init__(self, uid, flags, data):
        self.uid = uid
        self.flags = flags
        self.data = data


def contents(gateway, user, box="INBOX"):
    """{message-id: Seen} of a mailbox, without touching anything."""
    there = session(gateway, user)
    found = box_contents(there, box)
    there.logout()
    return found


def box_contents(there, box):
    _, (count,) = there.select(quoted(box), readonly=True)
    if count is None or not count.isdigit():
        raise Failure(f"cannot open {box}: {count}")
    found = {}
    if int(count) == 0:
        return found
    for piece in good(there.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")):
        if not isinstance(piece, tuple):
            continue
        head, data = piece
        uid = int(re.search(rb"UID (\d+)", head).group(1))
        flags = set(re.search(rb"FLAGS \(([^)]*)\)", head).group(1).decode().split()) - {"\\Recent"}
        match = re.search(rb"^Message-ID: *(<[^>]*>)", data, re.I | re.M)
        key = match.group(1).decode() if match else f"uid {uid}"
        if key in found:
            raise Failure(f"{key} is twice in {box}")
        found[key] = Seen(uid, flags, data)
    return found


def state(gateway, user):
    """What changes when anything does: names, UIDNEXT, counts and HIGHESTMODSEQ of all mailboxes."""
    there = session(gateway, user)
    names = sorted(re.search(rb'"/" (.*)$', line).group(1) for line in good(there.list())
                   if b"\\Noselect" not in line)
    found = {}
    for name in names:
        text = good(there.status(name.decode(), "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)"))
        found[name] = text[0]
    there.logout()
    return found


def change_flags(gateway, user, key, change, flags, box="INBOX"):
    """`change` is +FLAGS, -FLAGS or FLAGS."""
    there = session(gateway, user)
    uid = box_contents(there, box)[key].uid
    good(there.select(quoted(box)))
    good(there.uid("STORE", str(uid), change, f"({flags})"))
    there.logout()


def delete(gateway, user, key, box="INBOX"):
    there = session(gateway, user)
    uid = box_contents(there, box)[key].uid
    good(there.select(quoted(box)))
    good(there.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)"))
    good(there.expunge())
    there.logout()


# ---- comparing ----

def key_of(data):
    return re.search(rb"^Message-ID: *(<[^>]*>)", data, re.I | re.M).group(1).decode()


def with_crlf(data):
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def same_bytes(wanted, found, what):
    """{key: bytes} both; or a Failure that says where they differ."""
    if set(wanted) != set(found):
        raise Failure(f"{what}: missing {sorted(set(wanted) - set(found))[:5]}, "
                      f"too many {sorted(set(found) - set(wanted))[:5]}")
    for key, data in wanted.items():
        got = found[key]
        if data == got:
            continue
        at = next((i for i, (a, b) in enumerate(zip(data, got)) if a != b), min(len(data), len(got)))
        raise Failure(f"{what}: {key} differs at byte {at} ({len(data)} bytes became {len(got)}): "
                      f"{data[max(0, at - 40):at + 40]!r} became {got[max(0, at - 40):at + 40]!r}")


def same_on_server(gateway, user, wanted, what, box="INBOX"):
    """The mailbox has exactly these messages: [(name, bytes)] or {key: bytes}."""
    if not isinstance(wanted, dict):
        wanted = {key_of(data): data for _, data in wanted}
    same_bytes(wanted, {key: seen.data for key, seen in contents(gateway, user, box).items()}, what)


def has_flags(gateway, user, key, flags, box="INBOX"):
    """The message has exactly these flags."""
    seen = contents(gateway, user, box).get(key)
    if seen is None:
        raise Failure(f"{key} is not in {box}")
    if seen.flags != set(flags.split()):
        raise Failure(f"{key} in {box} has the flags {sorted(seen.flags)} instead of {flags}")


def maildir(path):
    """{message-id: (bytes with CRLF, flags, file)} of a Maildir."""
    found = {}
    for sub in ("cur", "new"):
        for name in os.listdir(os.path.join(path, sub)):
            file = os.path.join(path, sub, name)
            with open(file, "rb") as stream:
                data = with_crlf(stream.read())
            flags = set(name.rpartition(":2,")[2]) if ":2," in name else set()
            key = key_of(data)
            if key in found:
                raise Failure(f"{key} is twice in {path}")
            found[key] = (data, flags, file)
    return found


def empty_maildir(path):
    for name in ("", "/cur", "/new", "/tmp"):
        os.mkdir(path + name)
    return path


def maildir_flag(file, flags):
    """Gives a file of a Maildir these flags, as a mail program does."""
    base = os.path.basename(file).partition(":2,")[0]
    target = os.path.join(os.path.dirname(os.path.dirname(file)), "cur", f"{base}:2,{flags}")
    os.rename(file, target)
    return target


def maildir_add(path, data, flags):
    name = f"1600000{next(_next_folder)}.check.host:2,{flags}"
    with open(os.path.join(path, "tmp", name), "wb") as file:
        file.write(data.replace(b"\r\n", b"\n"))
    os.rename(os.path.join(path, "tmp", name), os.path.join(path, "cur", name))


def tree(path):
    """What stands in a directory, to see whether anything changed."""
    return sorted(os.path.relpath(os.path.join(top, name), path)
                  for top, _, names in os.walk(path) for name in names)
