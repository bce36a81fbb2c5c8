# SPDX-License-Identifier: Apache-2.0
"""Clients that fetch (and some that send) by IMAP: imaplib, curl, fetchmail, getmail, fdm."""

import imaplib
import os
import re
import ssl

from gateway import PASSWORD
from imap_mailbox import (Failure, account, append, box_contents, change_flags, client, contents,
                          fill, folder, good, has_flags, key_of, maildir, messages,
                          run, same_bytes, same_on_server, with_crlf)


def any_certificate():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# ---- Python's imaplib ----

def imaplib_check(secure):
    def check(gateway):
        user = account()
        if secure == "tls":
            there = imaplib.IMAP4_SSL("127.0.0.1", gateway.ports["imaps"],
                                      ssl_context=any_certificate(), timeout=60)
        else:
            there = imaplib.IMAP4("127.0.0.1", gateway.ports["imap"], timeout=60)
        if secure == "starttls":
            there.starttls(any_certificate())
        if secure:
            there.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
        else:
            there.login(user, PASSWORD)
        sent = messages(60, "varied")
        good(there.create("sub/folder"))
        for number, (_, data) in enumerate(sent):
            append(there, "INBOX", data, r"\Seen" if number % 2 else "")
        same_bytes({key_of(data): data for _, data in sent},
                   {key: seen.data for key, seen in box_contents(there, "INBOX").items()}, "imaplib")
        good(there.select("INBOX"))
        (unseen,) = good(there.search(None, "UNSEEN"))
        if len(unseen.split()) != len(sent) // 2:
            raise Failure(f"SEARCH UNSEEN finds {unseen}")
        key = key_of(sent[3][1])
        (number,) = good(there.search(None, "HEADER", "Message-ID", f'"{key}"'))
        good(there.store(number, "+FLAGS", r"(\Flagged keyword)"))
        good(there.copy(number, "sub/folder"))
        good(there.store(number, "+FLAGS", r"(\Deleted)"))
        (gone,) = good(there.expunge())
        if gone != number:
            raise Failure(f"EXPUNGE says {gone}, and {number} was deleted")
        moved = box_contents(there, "sub/folder")
        if set(moved) != {key} or moved[key].flags != {"\\Seen", "\\Flagged", "keyword"}:
            raise Failure(f"the copy is {[(k, m.flags) for k, m in moved.items()]}")
        if len(box_contents(there, "INBOX")) != len(sent) - 1:
            raise Failure("the deleted message is still there")
        there.logout()
    return check


# ---- curl ----

def curl(scheme, port, *arguments):
    def check(gateway):
        user = account()
        base = f"{scheme}://127.0.0.1:{gateway.ports[port]}"
        command = [client("curl"), "-sS", "-k", "--user", f"{user}:{PASSWORD}", *arguments]
        sent = messages(8, "tame")
        # APPEND needs the size beforehand, and so a file.
        for _, data in sent:
            with open(os.path.join(gateway.directory, "upload"), "wb") as file:
                file.write(data)
            run(command + ["--upload-file", file.name, base + "/INBOX"])
        same_on_server(gateway, user, sent, "curl --upload-file")
        listing = run(command + [base + "/"]).decode()
        if '"INBOX"' not in listing and " INBOX" not in listing:
            raise Failure(f"the list is {listing!r}")
        for number, (_, data) in enumerate(sent, 1):
            got = run(command + [f"{base}/INBOX;UID={number}"])
            same_bytes({"it": data}, {"it": got}, "curl ;UID=")
        got = run(command + [f"{base}/INBOX;MAILINDEX=2;SECTION=TEXT"])
        same_bytes({"it": sent[1][1].partition(b"\r\n\r\n")[2]}, {"it": got}, "curl ;SECTION=TEXT")
        change_flags(gateway, user, key_of(sent[4][1]), "+FLAGS", "\\Flagged")
        found = run(command + [base + "/INBOX?FLAGGED"]).decode().split()
        if found != ["*", "SEARCH", "5"]:
            raise Failure(f"the search says {found}")
        run(command + ["-X", "STORE 1 +FLAGS \\Deleted", base + "/INBOX"])
        run(command + ["-X", "EXPUNGE", base + "/INBOX"])
        same_on_server(gateway, user, sent[1:], "curl -X EXPUNGE")
    return check


# ---- fetchmail, getmail, fdm: everything comes, and is gone afterwards ----

def files_of(path):
    found = {}
    for top, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(top, name), "rb") as file:
                data = with_crlf(file.read())
            found[key_of(data)] = data
    return found


def fetchmail(port, *options):
    def check(gateway):
        path, user = client("fetchmail"), account()
        sent = fill(gateway, user)
        home = folder(gateway, "fetchmail")
        target = folder(gateway, "fetched")
        script = gateway.write("imap-mda", f"#!/bin/sh\ncat > $(mktemp {target}/XXXXXX)\n")
        os.chmod(script, 0o700)
        settings = gateway.write("imap-fetchmailrc", "\n".join([
            "set invisible", "set no bouncemail", "set no spambounce",
            f"poll localhost via 127.0.0.1 service {gateway.ports[port]} protocol IMAP",
            f'user "{user}" password "{PASSWORD}" no rewrite fetchall no keep '
            f'{" ".join(options)} mda "{script}"', ""]))
        run([path, "-f", settings, "--nosyslog", "--pidfile", os.path.join(home, "pid")],
            env=dict(os.environ, FETCHMAILHOME=home, HOME=home))
        same_bytes({key_of(data): data for _, data in sent}, files_of(target), "fetchmail")
        if contents(gateway, user):
            raise Failure("fetchmail's deletions did not happen")
    return check


def fetchmail_keeps(gateway):
    """Only what is unseen, and it stays, seen."""
    path, user = client("fetchmail"), account()
    sent = fill(gateway, user, flags=lambda number: r"\Seen" if number < 4 else "")
    home, target = folder(gateway, "fetchmail"), folder(gateway, "fetched")
    script = gateway.write("imap-mda", f"#!/bin/sh\ncat > $(mktemp {target}/XXXXXX)\n")
    os.chmod(script, 0o700)
    settings = gateway.write("imap-fetchmailrc", "\n".join([
        "set invisible", f"poll localhost via 127.0.0.1 service {gateway.ports['imap']} protocol IMAP",
        f'user "{user}" password "{PASSWORD}" no rewrite keep sslproto \'\' mda "{script}"', ""]))
    environment = dict(os.environ, FETCHMAILHOME=home, HOME=home)
    command = [path, "-f", settings, "--nosyslog", "--pidfile", os.path.join(home, "pid")]
    run(command, env=environment)
    same_bytes({key_of(data): data for _, data in sent[4:]}, files_of(target), "fetchmail keep")
    has_flags(gateway, user, key_of(sent[5][1]), "\\Seen")
    run(command, env=environment, statuses=(1,))  # no new mail
    same_on_server(gateway, user, sent, "after fetchmail keep")


def getmail(kind, port):
    def check(gateway):
        path, user = client("getmail"), account()
        sent = fill(gateway, user, box="INBOX")
        more = fill(gateway, user, 5, box="other")
        home, target = folder(gateway, "getmail"), folder(gateway, "fetched")
        script = gateway.write("getmail-mda", f"#!/bin/sh\ncat > $(mktemp {target}/XXXXXX)\n")
        os.chmod(script, 0o700)
        settings = gateway.write("getmailrc", f"""[retriever]
type = {kind}
server = 127.0.0.1
port = {gateway.ports[port]}
username = {user}
password = {PASSWORD}
mailboxes = ("INBOX", "other")
[destination]
type = MDA_external
path = {script}
unixfrom = false
allow_root_commands = true
[options]
delete = true
delivered_to = false
received = false
read_all = true
verbose = 0
""")
        run([path, "--getmaildir", home, "--rcfile", settings], env=dict(os.environ, HOME=home))
        found = []
        for name in os.listdir(target):
            with open(f"{target}/{name}", "rb") as file:
                data = with_crlf(file.read())
            found.append(re.sub(rb"(?m)^(Return-Path: <unknown>|X-getmail-[^\r]*)\r\n", b"", data))
        wanted = [data for _, data in sent + more]
        for data in found:
            if data not in wanted:
                raise Failure(f"getmail: this was not there: {data[:600]!r}")
            wanted.remove(data)
        if wanted:
            raise Failure(f"getmail left out {len(wanted)} messages")
        if contents(gateway, user) or contents(gateway, user, "other"):
            raise Failure("getmail's deletions did not happen")
    return check


def fdm(kind, port, options):
    def check(gateway):
        path, user = client("fdm"), account()
        sent = fill(gateway, user)
        home = folder(gateway, "fdm")
        settings = gateway.write("fdm.conf", f"""set no-received
set lock-types flock
set allow-multiple
action "keep" maildir "{home}/Maildir"
account "it" {kind} server "127.0.0.1" port {gateway.ports[port]}
	user "{user}" pass "{PASSWORD}" {options}
match all action "keep"
""")
        run([path, "-f", settings, "fetch"], env=dict(os.environ, HOME=home, USER="root"))
        same_bytes({key_of(data): data for _, data in sent},
                   {key: each[0] for key, each in maildir(home + "/Maildir").items()}, "fdm")
        if contents(gateway, user):
            raise Failure("fdm's deletions did not happen")
    return check


CHECKS = [
    ("imaplib_plain", imaplib_check("")),
    ("imaplib_over_starttls", imaplib_check("starttls")),
    ("imaplib_over_tls", imaplib_check("tls")),
    ("curl_imap_plain", curl("imap", "imap", "--login-options", "AUTH=PLAIN")),
    ("curl_imap_over_starttls", curl("imap", "imap", "--ssl-reqd")),
    ("curl_imap_over_tls", curl("imaps", "imaps")),
    ("fetchmail_imap_plain", fetchmail("imap", "sslproto ''")),
    ("fetchmail_imap_over_starttls", fetchmail("imap", "sslproto 'TLS1.2+'", "no sslcertck")),
    ("fetchmail_imap_over_tls", fetchmail("imaps", "ssl", "no sslcertck")),
    ("fetchmail_imap_keeps_and_marks", fetchmail_keeps),
    ("getmail_imap_plain", getmail("SimpleIMAPRetriever", "imap")),
    ("getmail_imap_over_tls", getmail("SimpleIMAPSSLRetriever", "imaps")),
    ("fdm_imap_plain", fdm("imap", "imap", "insecure")),
    ("fdm_imap_over_starttls", fdm("imap", "imap", "starttls")),
    ("fdm_imap_over_tls", fdm("imaps", "imaps", "no-verify")),
]
