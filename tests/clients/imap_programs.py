# SPDX-License-Identifier: Apache-2.0
"""Mail programs that people look at, in a terminal of their own, and libraries that programs use:
neomutt, mutt, alpine, imapfilter, ImapFlow, Mail::IMAPClient."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from gateway import PASSWORD
from imap_mailbox import (Failure, Skipped, account, client, contents, empty_maildir, fill, folder,
                          has_flags, key_of, maildir, run, same_bytes, same_on_server)

HERE = os.path.dirname(os.path.abspath(__file__))
IMAPFLOW = "imapflow@1.0.150"
TERMINAL_TIMEOUT = 60
CONTROLS = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])|[\r\n]+")


def in_terminal(command, answers=(), **options):
    """Runs a program in a terminal of 120 by 40. `answers` are (pattern to wait for, keys to type), in
    their order, or (pattern, keys, echo): then each key is typed when the echo of the one before was
    seen. Waiting is for what the screen says, not for time; but some programs throw away what was
    typed before they look (all of it, or its beginning), so a key that nothing came of is typed again:
    keys without an echo are single ones."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, close_fds=True,
                               start_new_session=True, **options)
    os.close(slave)
    # One key each: what to wait for, the key.
    steps = [(pattern if number == 0 else rest[0], key) for pattern, keys, *rest in answers
             for number, key in enumerate([keys[n:n + 1] for n in range(len(keys))] or [b""])]
    screen, seen, typed = b"", 0, b""
    deadline = time.monotonic() + TERMINAL_TIMEOUT
    last = time.monotonic()
    try:
        while True:
            ready, _, _ = select.select([master], [], [], 0.2)
            if ready:
                try:
                    piece = os.read(master, 65536)
                except OSError:
                    break
                if not piece:
                    break
                screen += piece.replace(b"\0", b"")
                last = time.monotonic()
            while steps and (match := re.compile(steps[0][0]).search(screen, seen)):
                typed = steps.pop(0)[1]
                seen = match.end()
                os.write(master, typed)
            if time.monotonic() - last > 5:
                os.write(master, typed)
                last = time.monotonic()
            if not ready and process.poll() is not None:
                break
            if time.monotonic() > deadline:
                raise Failure(f"{command[0]} does not end; it waits for {steps[:1]}; the screen: "
                              f"{CONTROLS.sub(b' ', screen)[-1500:]!r}")
    finally:
        if process.poll() is None:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        os.close(master)
    if process.returncode != 0 or steps:
        raise Failure(f"{command[0]} ended with {process.returncode}: {screen[-1500:]!r}")
    return screen


# ---- mutt and neomutt ----

def mutt(name, port, settings):
    """Copies everything to a Maildir, flags, saves into another mailbox, deletes, writes back."""
    def check(gateway):
        path, user = client(name), account()
        sent = fill(gateway, user, 10)
        fill(gateway, user, 1, box="archive")
        home = folder(gateway, name)
        target = empty_maildir(os.path.join(home, "copy"))
        scheme = "imaps" if port == "imaps" else "imap"
        rc = gateway.write(f"{name}rc", f"""
set folder="{scheme}://127.0.0.1:{gateway.ports[port]}/"
set spoolfile="+INBOX"
set imap_user="{user}"
set imap_pass="{PASSWORD}"
set header_cache="{home}/headers"
set mbox_type=Maildir
set sort=mailbox-order
set quit=yes
set delete=yes
set copy=no
set confirmappend=no
set confirmcreate=no
set wait_key=no
set mark_old=no
set mail_check=1
set move=no
set certificate_file="{home}/certificates"
{settings}
""")
        keys = ("<tag-pattern>~A<enter><tag-prefix><copy-message>" + target + "<enter>"
                "<untag-pattern>~A<enter>"
                "<jump>3<enter><flag-message>"
                "<jump>4<enter><set-flag>r"
                "<jump>5<enter><save-message>=archive<enter>"
                "<jump>7<enter><delete-message>"
                "<sync-mailbox><quit>")
        in_terminal([path, "-n", "-F", rc, "-e", f'push "{keys}"'],
                    env=dict(os.environ, HOME=home, TERM="xterm", TMPDIR=home))
        same_bytes({key_of(data): data for _, data in sent},
                   {key: without_lines(each[0]) for key, each in maildir(target).items()}, name)
        wanted = [each for number, each in enumerate(sent, 1) if number not in (5, 7)]
        same_on_server(gateway, user, wanted, f"after {name}")
        seen = contents(gateway, user)
        if "\\Flagged" not in seen[key_of(sent[2][1])].flags or \
                "\\Answered" not in seen[key_of(sent[3][1])].flags:
            raise Failure(f"the flags are {[(k, v.flags) for k, v in seen.items()]}")
        if key_of(sent[4][1]) not in contents(gateway, user, "archive"):
            raise Failure("the saved message is not in the archive")
        # Once more, now with what it remembers of the mailbox.
        in_terminal([path, "-n", "-F", rc, "-e",
                     'push "<jump>1<enter><delete-message><sync-mailbox><quit>"'],
                    env=dict(os.environ, HOME=home, TERM="xterm", TMPDIR=home))
        same_on_server(gateway, user, wanted[1:], f"after the second {name}")
    return check


def without_lines(data):
    """Without the fields that mutt adds when it writes a message to a file."""
    head, empty, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n")
             if not line.startswith((b"Status: ", b"X-Status: ", b"Content-Length: ", b"Lines: "))]
    return b"\r\n".join(lines) + empty + body


# ---- alpine ----

def alpine(gateway):
    """Deletes a message, saves one into another mailbox, expunges, leaves."""
    path, user = client("alpine"), account()
    sent = fill(gateway, user, 5)
    fill(gateway, user, 1, box="saved", kind="varied")
    home = folder(gateway, "alpine")
    place = f"{{127.0.0.1:{gateway.ports['imap']}/imap/notls/user={user}}}"
    rc = gateway.write("pinerc", f"""
inbox-path={place}INBOX
folder-collections=Mail {place}[]
feature-list=enable-aggregate-command-set,quit-without-confirm,expunge-without-confirm,
	expunge-without-confirm-everywhere,save-will-not-delete,auto-move-read-msgs,
	no-auto-move-read-msgs,no-enable-newmail-in-xterm-icon
nntp-server=
user-domain=example.test
last-version-used=6.26
last-time-prune-questioned={time.strftime("%y.%-m")}
initial-keystroke-list=
default-saved-msg-folder=saved
sort-key=arrival
""")
    in_terminal([path, "-p", rc, "-P", "/dev/null", "-x", "/dev/null", "-i"], answers=[
        (b"SECURITY PROBLEM", b""),
        (b"PASSWORD", PASSWORD.encode() + b"\r", rb"\*"),
        (b"Preserve password", b"N"),
        (b"5 messages", b"D"),
        (b"marked for deletion", b"S"),
        (rb"to folder \[saved\]", b"\r"),
        # One that was busy says that it is done, and may keep the other sentence to itself.
        (rb"copied to|Saving[^\r\n]*DONE", b"X"),
        (rb"expunged|Expunging[^\r\n]*DONE", b"Q"),
    ], env=dict(os.environ, HOME=home, TERM="xterm"))
    left = contents(gateway, user)
    saved = contents(gateway, user, "saved")
    if set(left) != {key_of(data) for _, data in sent[1:]} or key_of(sent[1][1]) not in saved:
        raise Failure(f"{sorted(left)} are left, {sorted(saved)} were saved")
    same_bytes({"it": sent[1][1]}, {"it": saved[key_of(sent[1][1])].data}, "what alpine saved")


# ---- imapfilter ----

def imapfilter(gateway):
    path, user = client("imapfilter"), account()
    sent = fill(gateway, user, 10, flags=lambda n: r"\Seen" if n < 3 else r"\Flagged" if n == 9 else "")
    home = folder(gateway, "imapfilter")
    config = gateway.write("imapfilter.lua", f"""
options.timeout = 60
options.starttls = false
options.create = true
options.subscribe = true
account = IMAP {{ server = '127.0.0.1', port = {gateway.ports["imap"]}, username = '{user}',
	password = '{PASSWORD}' }}
account.INBOX:is_seen():move_messages(account['done/seen'])
account.INBOX:is_flagged():copy_messages(account['done/flagged'])
found = account.INBOX:contain_field('Message-ID', '{key_of(sent[5][1])}')
found:mark_answered()
found:add_flags({{ 'Noted' }})
account.INBOX:contain_field('Message-ID', '{key_of(sent[6][1])}'):delete_messages()
none = account.INBOX:is_unseen() * account.INBOX:is_larger(100000000)
none:delete_messages()
for _, message in ipairs(found) do
	mailbox, uid = table.unpack(message)
	text = mailbox[uid]:fetch_message()
	account['done/again']:append_message(text)
end
""")
    run([path, "-c", config], env=dict(os.environ, HOME=home, IMAPFILTER_HOME=home))
    keys = [key_of(data) for _, data in sent]
    same_on_server(gateway, user, [each for n, each in enumerate(sent) if n > 2 and n != 6], "INBOX")
    same_on_server(gateway, user, sent[:3], "moved", "done/seen")
    same_on_server(gateway, user, sent[9:], "copied", "done/flagged")
    same_on_server(gateway, user, sent[5:6], "appended", "done/again")
    has_flags(gateway, user, keys[5], r"\Answered Noted")
    has_flags(gateway, user, keys[0], r"\Seen", "done/seen")


# ---- libraries ----

def imapflow(gateway):
    node, npm, user = client("node"), client("npm"), account()
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
                         "postern-tests", IMAPFLOW)
    if not os.path.isdir(f"{cache}/node_modules/imapflow"):
        os.makedirs(cache, exist_ok=True)
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts",
                               "--prefix", cache, IMAPFLOW], capture_output=True, text=True,
                              timeout=180, check=False)
        if done.returncode != 0:
            raise Skipped(f"{IMAPFLOW} cannot be fetched: {done.stderr.strip()[-300:]}")
    output = run([node, os.path.join(HERE, "imapflow.js"), str(gateway.ports["imap"]), user, PASSWORD],
                 env=dict(os.environ, NODE_PATH=f"{cache}/node_modules"))
    if output.split()[-1:] != [b"done"]:
        raise Failure(f"ImapFlow: {output[-1000:]!r}")


def perl(gateway):
    path, user = client("perl"), account()
    if subprocess.run([path, "-MMail::IMAPClient", "-e", "1"], stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        raise Skipped("Mail::IMAPClient is not installed")
    output = run([path, os.path.join(HERE, "imapclient.pl"), str(gateway.ports["imap"]), user,
                  PASSWORD])
    if output.split()[-1:] != [b"done"]:
        raise Failure(f"Mail::IMAPClient: {output[-1000:]!r}")


PLAIN = "set ssl_starttls=no\nset ssl_force_tls=no\n"
NO_CHECK = "set ssl_verify_host=no\nset ssl_verify_dates=no\n"
QRESYNC = "set imap_condstore=yes\nset imap_qresync=yes\n"

CHECKS = [
    ("neomutt_plain", mutt("neomutt", "imap", PLAIN)),
    ("neomutt_with_qresync", mutt("neomutt", "imap", PLAIN + QRESYNC)),
    ("mutt_plain", mutt("mutt", "imap", PLAIN)),
    ("mutt_with_qresync", mutt("mutt", "imap", PLAIN + QRESYNC)),
    ("alpine", alpine),
    ("imapfilter", imapfilter),
    ("imapflow", imapflow),
    ("perl_mail_imapclient", perl),
]
