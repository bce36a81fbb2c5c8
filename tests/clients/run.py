#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real mail clients with a running gateway; prints "ok NAME", "not ok NAME" or "skipped: NAME".

    tests/clients/run.py --build DIR [--store local|memory] [NAME-PART …]

swaks, curl, msmtp and smtplib send, each in every way it knows; curl, fetchmail, mpop and poplib
fetch; imap_*.py have those that speak IMAP. 200 messages go in and must come out byte by byte as they were, behind the fields that the
gateway puts on top. What a client does not find installed is skipped, loudly.
"""

import argparse
import imaplib
import os
import poplib
import re
import smtplib
import ssl
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
import corpus  # noqa: E402
import imap_fetch  # noqa: E402
import imap_mailbox  # noqa: E402
import imap_programs  # noqa: E402
import imap_sync  # noqa: E402
import logins  # noqa: E402
from gateway import Gateway, PASSWORD, USERS  # noqa: E402
from imap_mailbox import Failure, Skipped, client  # noqa: E402

SENDER = "sender@client.example"
RECIPIENT = "bob@example.test"
USER = "alice@example.test"
STORES = {
    "local": dict(store='module "store_local" { as = "local" }'),
    "memory": dict(store='module "store_memory" { as = "local" }', workers=1),
}
TRACE = re.compile(rb"Return-Path: <[^\r\n]*>\r\nReceived: from [^\r\n]*\r\n(?:\t[^\r\n]*\r\n)*")

poplib._MAXLINE = 1024 * 1024  # RFC 1939 has no limit for lines of messages, poplib has 2,048


def any_certificate():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def run(command, data=b"", **options):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=120, check=False, **options)
    if b"TLS not available" in done.stdout:
        raise Skipped(f"{os.path.basename(command[0])} has no TLS here: " +
                      done.stdout.decode(errors="replace").strip())
    if done.returncode != 0:
        raise Failure(f"{os.path.basename(command[0])} ended with {done.returncode}:\n" +
                      done.stdout.decode(errors="replace")[-2000:])
    return done.stdout


# ---- what is in the mailbox ----

def pop3(gateway, user=RECIPIENT):
    session = poplib.POP3("127.0.0.1", gateway.ports["pop3"], timeout=120)
    session.user(user)
    session.pass_(PASSWORD)
    return session


def fetch_all(gateway, user=RECIPIENT):
    """All messages of the mailbox, which is empty afterwards."""
    session = pop3(gateway, user)
    count, _ = session.stat()
    found = []
    for number in range(1, count + 1):
        _, lines, _ = session.retr(number)
        found.append(b"".join(line + b"\r\n" for line in lines))
        session.dele(number)
    session.quit()
    return found


def without_trace(data):
    match = TRACE.match(data)
    if match is None:
        raise Failure(f"no Return-Path and Received on top: {data[:300]!r}")
    return data[match.end():]


def without_added(data):
    """Without what the submission profile adds."""
    while data.startswith((b"Message-ID: <", b"Date: ")):
        data = data[data.index(b"\r\n") + 2:]
    return data


def compare(name, sent, got):
    if sent == got:
        return
    at = next((i for i, (a, b) in enumerate(zip(sent, got)) if a != b), min(len(sent), len(got)))
    raise Failure(f"{name}: differs at byte {at} (sent {len(sent)} bytes, got {len(got)}): "
                  f"{sent[max(0, at - 40):at + 40]!r} became {got[max(0, at - 40):at + 40]!r}")


def compare_all(sent, found, take_off=without_trace):
    if len(sent) != len(found):
        raise Failure(f"{len(sent)} messages went in, {len(found)} came out")
    for (name, data), got in zip(sent, found):
        compare(name, data, take_off(got))


# ---- the 200 messages ----

def send_all(session, found):
    for name, data in found:
        try:
            session.sendmail(SENDER, [RECIPIENT], data)
        except smtplib.SMTPException as error:
            raise Failure(f"{name}: {error}") from None
    session.quit()


def all_messages_by(make_session):
    def check(gateway):
        found = corpus.messages()
        send_all(make_session(gateway), found)
        # DATA ends with CRLF, so the empty message is one line.
        compare_all([(name, data or b"\r\n") for name, data in found], fetch_all(gateway))
    return check


def smtp_plain(gateway):
    return smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=120)


def smtp_starttls(gateway):
    session = smtp_plain(gateway)
    session.starttls(context=any_certificate())
    return session


def lmtp(gateway):
    return smtplib.LMTP("127.0.0.1", gateway.ports["lmtp"], timeout=120)


# ---- senders, each in every way it knows ----

def smtplib_auth(mechanism, secure):
    def check(gateway):
        if secure == "tls":
            session = smtplib.SMTP_SSL("127.0.0.1", gateway.ports["submissions"],
                                       context=any_certificate(), timeout=60)
        else:
            session = smtplib.SMTP("127.0.0.1", gateway.ports["submission"], timeout=60)
        if secure == "starttls":
            session.starttls(context=any_certificate())
        session.ehlo()
        session.user, session.password = USER, PASSWORD
        session.auth(mechanism, getattr(session, "auth_" + mechanism.lower()))
        send_and_compare(gateway, lambda data: session.sendmail(USER, [RECIPIENT], data),
                         without_added)
    return check


def send_and_compare(gateway, send, also=lambda data: data):
    """Ten tame messages through `send`, and back."""
    found = corpus.tame(corpus.messages(count=120)[1:], 10)
    for _, data in found:
        send(data)
    compare_all(found, fetch_all(gateway), lambda data: also(without_trace(data)))


def swaks(port, *arguments, also=lambda data: data):
    def check(gateway):
        command = [client("swaks"), "--server", "127.0.0.1", "--port", str(gateway.ports[port]),
                   "--from", SENDER, "--to", RECIPIENT, "--suppress-data", "--no-data-fixup",
                   "--data", "-", *arguments]

        # With --no-data-fixup the data has its final dot already.
        send_and_compare(gateway, lambda data: run(
            command, data.replace(b"\r\n.", b"\r\n..") + b".\r\n"), also)
    return check


def curl_send(scheme, port, *arguments, also=lambda data: data):
    def check(gateway):
        command = [client("curl"), "-sS", "-k", f"{scheme}://127.0.0.1:{gateway.ports[port]}/client",
                   "--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", "-",
                   *arguments]
        send_and_compare(gateway, lambda data: run(command, data), also)
    return check


def msmtp(port, *arguments, also=lambda data: data):
    def check(gateway):
        command = [client("msmtp"), "--file=/dev/null", "--host=127.0.0.1",
                   f"--port={gateway.ports[port]}", f"--from={SENDER}", "--tls-certcheck=off",
                   "--set-from-header=off", "--set-date-header=off", "--set-msgid-header=off",
                   f"--passwordeval=echo {PASSWORD}", f"--user={USER}", *arguments, RECIPIENT]
        send_and_compare(gateway, lambda data: run(command, data.replace(b"\r\n", b"\n")), also)
    return check


# ---- fetchers ----

def fill(gateway):
    """Ten messages in the mailbox; returns them as they must come out."""
    found = corpus.tame(corpus.messages(count=120)[1:], 10)
    send_all(smtp_plain(gateway), found)
    return found


def poplib_fetch(secure, login):
    def check(gateway):
        found = fill(gateway)
        if secure == "tls":
            session = poplib.POP3_SSL("127.0.0.1", gateway.ports["pop3s"],
                                      context=any_certificate(), timeout=60)
        else:
            session = poplib.POP3("127.0.0.1", gateway.ports["pop3"], timeout=60)
        if secure == "stls":
            session.stls(context=any_certificate())
        capabilities = session.capa()
        if "TOP" not in capabilities or "UIDL" not in capabilities:
            raise Failure(f"CAPA says {capabilities}")
        login(session)
        identifiers = [line.split()[1] for line in session.uidl()[1]]
        if len(set(identifiers)) != len(found):
            raise Failure(f"unique-ids that are not: {identifiers}")
        again = pop3(gateway)
        if [line.split()[1] for line in again.uidl()[1]] != identifiers:
            raise Failure("another session has other unique-ids")
        again.quit()
        for number, (name, data) in enumerate(found, 1):
            _, lines, _ = session.retr(number)
            got = b"".join(line + b"\r\n" for line in lines)
            compare(name, data, without_trace(got))
            _, top, _ = session.top(number, 0)
            if top != lines[:len(top)] or top[-1] != b"" or b"" in top[:-1]:
                raise Failure(f"{name}: TOP 0 is not the header")
            if int(session.list(number).split()[2]) != len(got):
                raise Failure(f"{name}: LIST says {session.list(number)}, came {len(got)}")
            session.dele(number)
        session.quit()
        if fetch_all(gateway):
            raise Failure("deleted messages are still there")
    return check


def user_and_pass(session):
    session.user(RECIPIENT)
    session.pass_(PASSWORD)


def curl_fetch(scheme, port, *arguments):
    def check(gateway):
        found = fill(gateway)
        base = f"{scheme}://127.0.0.1:{gateway.ports[port]}/"
        command = [client("curl"), "-sS", "-k", "--user", f"{RECIPIENT}:{PASSWORD}", *arguments]
        listing = run(command + [base]).decode().split("\r\n")
        if [line.split()[0] for line in listing if line] != [str(n) for n in range(1, 11)]:
            raise Failure(f"the list is {listing}")
        for number, (name, data) in enumerate(found, 1):
            compare(name, data, without_trace(run(command + [base + str(number)])))
        fetch_all(gateway)
    return check


def fetched_files(folder):
    """What a client put into a folder, with CRLF, in the order of their Subject-less names."""
    found = []
    for top, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(top, name), "rb") as file:
                found.append(file.read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    return found


def compare_sets(sent, found):
    """Clients store in an order of their own."""
    left = [without_trace(data) for data in found]
    for name, data in sent:
        if data not in left:
            raise Failure(f"{name} did not come out as it went in; came: " +
                          repr([each[:150] for each in left][:3]))
        left.remove(data)
    if left:
        raise Failure(f"{len(left)} messages too many came out")


def fetchmail(port, *options):
    def check(gateway):
        path = client("fetchmail")
        found = fill(gateway)
        folder = os.path.join(gateway.directory, f"fetchmail-{port}-{len(options)}")
        os.mkdir(folder)
        script = gateway.write("mda", f"#!/bin/sh\ncat > $(mktemp {folder}/XXXXXX)\n")
        os.chmod(script, 0o700)
        settings = gateway.write("fetchmailrc", "\n".join([
            "set invisible", "set no bouncemail", "set no spambounce",
            f'poll localhost via 127.0.0.1 service {gateway.ports[port]} protocol POP3',
            f'user "{RECIPIENT}" password "{PASSWORD}" no rewrite fetchall no keep '
            f'{" ".join(options)} mda "{script}"', ""]))
        environment = dict(os.environ, FETCHMAILHOME=gateway.directory, HOME=gateway.directory)
        run([path, "-f", settings, "--nosyslog", "--pidfile",
             os.path.join(gateway.directory, "fetchmail.pid")], env=environment)
        compare_sets(found, fetched_files(folder))
        if fetch_all(gateway):
            raise Failure("fetchmail's deletions did not happen")
    return check


def mpop(port, *arguments):
    def check(gateway):
        path = client("mpop")
        found = fill(gateway)
        folder = os.path.join(gateway.directory, f"mpop-{port}-{len(arguments)}")
        for name in ("", "/cur", "/new", "/tmp"):
            os.mkdir(folder + name)
        run([path, "--file=/dev/null", "--host=127.0.0.1", f"--port={gateway.ports[port]}",
             f"--user={RECIPIENT}", f"--passwordeval=echo {PASSWORD}", "--received-header=off",
             f"--delivery=maildir,{folder}", "--keep=off", "--only-new=off",
             f"--uidls-file={gateway.directory}/uidls", "--tls-certcheck=off", *arguments])
        compare_sets(found, fetched_files(folder))
        if fetch_all(gateway):
            raise Failure("mpop's deletions did not happen")
    return check


PLAIN = ("--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD)
LOGIN = ("--auth", "LOGIN", "--auth-user", USER, "--auth-password", PASSWORD)
CURL_USER = ("--user", f"{USER}:{PASSWORD}")

CHECKS = [
    ("smtplib_sends_200_messages", all_messages_by(smtp_plain)),
    ("smtplib_sends_200_messages_over_starttls", all_messages_by(smtp_starttls)),
    ("smtplib_sends_200_messages_by_lmtp", all_messages_by(lmtp)),
    ("smtplib_auth_plain_in_the_clear_on_loopback", smtplib_auth("PLAIN", "")),
    ("smtplib_auth_plain_over_starttls", smtplib_auth("PLAIN", "starttls")),
    ("smtplib_auth_login_over_starttls", smtplib_auth("LOGIN", "starttls")),
    ("smtplib_auth_plain_over_tls", smtplib_auth("PLAIN", "tls")),
    ("smtplib_auth_login_over_tls", smtplib_auth("LOGIN", "tls")),
    ("swaks_plain", swaks("mx")),
    ("swaks_pipelined", swaks("mx", "--pipeline")),
    ("swaks_starttls", swaks("mx", "--tls")),
    ("swaks_lmtp", swaks("lmtp", "--protocol", "LMTP")),
    ("swaks_auth_plain_over_starttls", swaks("submission", "--tls", *PLAIN, also=without_added)),
    ("swaks_auth_login_over_starttls", swaks("submission", "--tls", *LOGIN, also=without_added)),
    ("swaks_auth_plain_over_tls", swaks("submissions", "--tlsc", *PLAIN, also=without_added)),
    ("curl_sends_plain", curl_send("smtp", "mx")),
    ("curl_sends_over_starttls", curl_send("smtp", "mx", "--ssl-reqd")),
    ("curl_sends_with_auth_plain_over_starttls",
     curl_send("smtp", "submission", "--ssl-reqd", "--login-options", "AUTH=PLAIN", *CURL_USER,
               also=without_added)),
    ("curl_sends_with_auth_login_over_tls",
     curl_send("smtps", "submissions", "--login-options", "AUTH=LOGIN", *CURL_USER,
               also=without_added)),
    ("msmtp_plain", msmtp("mx", "--auth=off", "--tls=off")),
    ("msmtp_starttls", msmtp("mx", "--auth=off", "--tls=on", "--tls-starttls=on")),
    ("msmtp_lmtp", msmtp("lmtp", "--protocol=lmtp", "--auth=off", "--tls=off")),
    ("msmtp_auth_plain_over_starttls",
     msmtp("submission", "--auth=plain", "--tls=on", "--tls-starttls=on", also=without_added)),
    ("msmtp_auth_login_over_tls",
     msmtp("submissions", "--auth=login", "--tls=on", "--tls-starttls=off", also=without_added)),
    ("poplib_user_and_pass", poplib_fetch("", user_and_pass)),
    ("poplib_over_stls", poplib_fetch("stls", user_and_pass)),
    ("poplib_over_tls", poplib_fetch("tls", user_and_pass)),
    ("curl_fetches_plain", curl_fetch("pop3", "pop3", "--login-options", "AUTH=PLAIN")),
    ("curl_fetches_over_stls", curl_fetch("pop3", "pop3", "--ssl-reqd")),
    ("curl_fetches_over_tls", curl_fetch("pop3s", "pop3s")),
    ("fetchmail_plain", fetchmail("pop3", "sslproto ''")),
    ("fetchmail_over_stls", fetchmail("pop3", "sslproto 'TLS1.2+'", "no sslcertck")),
    ("fetchmail_over_tls", fetchmail("pop3s", "ssl", "no sslcertck")),
    ("mpop_plain", mpop("pop3", "--auth=user", "--tls=off")),
    ("mpop_auth_plain_over_stls", mpop("pop3", "--auth=plain", "--tls=on", "--tls-starttls=on")),
    ("mpop_over_tls", mpop("pop3s", "--auth=user", "--tls=on", "--tls-starttls=off")),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="where the gateway was built")
    parser.add_argument("--store", choices=STORES, default="local")
    parser.add_argument("only", nargs="*", help="parts of the names of checks")
    arguments = parser.parse_args()
    checks = [check for check in
              CHECKS + logins.CHECKS + imap_fetch.CHECKS + imap_sync.CHECKS + imap_programs.CHECKS
              if not arguments.only or any(part in check[0] for part in arguments.only)]
    counts = {"ok": 0, "not ok": 0, "skipped": 0}
    with Gateway(arguments.build, users=USERS + imap_mailbox.USERS,
                 **STORES[arguments.store]) as gateway:
        for name, check in checks:
            started = time.monotonic()
            try:
                check(gateway)
                outcome, detail = "ok", f"({time.monotonic() - started:.1f} s)"
            except Skipped as skipped:
                outcome, detail = "skipped", f": {skipped}"
            except (Failure, OSError, smtplib.SMTPException, poplib.error_proto,
                    imaplib.IMAP4.error, subprocess.SubprocessError) as failure:
                outcome, detail = "not ok", f"\n  {type(failure).__name__}: {failure}"
                try:
                    fetch_all(gateway)
                except (OSError, poplib.error_proto):
                    pass
            counts[outcome] += 1
            if outcome == "skipped":
                print(f"skipped: clients: {name}{detail}", flush=True)
            else:
                print(f"{outcome} clients: {name} {detail}", flush=True)
    print(f"# clients: {counts['ok']} passed, {counts['not ok']} failed, "
          f"{counts['skipped']} skipped")
    return 1 if counts["not ok"] or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
