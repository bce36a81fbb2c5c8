# SPDX-License-Identifier: Apache-2.0
"""Real clients that log in by other means than a password in the clear: gsasl, msmtp, mpop, curl, mbsync, swaks
and Python's. Each check has a gateway of its own, whose account has every kind of secret."""

import os
import smtplib
import imaplib
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "authentication"))
from gateway import DOMAIN, Gateway, PASSWORD, SHA512  # noqa: E402
from imap_mailbox import Failure, client, folder, run  # noqa: E402
from mechanisms import verifier  # noqa: E402
from tokens import TokenServer  # noqa: E402

USER = f"alice@{DOMAIN}"
ALL = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER",
       "XOAUTH2", "PLAIN", "LOGIN", "CRAM-MD5")


def own(gateway, secrets=None, more="", mechanisms=ALL):
    """A gateway in which only alice is."""
    names = "mechanisms = { " + ", ".join(f'"{name}"' for name in mechanisms) + " }"
    secrets = secrets or f"{SHA512} {verifier(PASSWORD)} {verifier(PASSWORD, 'sha1')} {{PLAIN}}{PASSWORD}"
    return Gateway(gateway.build, users=f"{USER}:{secrets}:\n", submission=names, pop3=names, imap=names,
                   more=more, store='module "store_local" { as = "local" }')


def used(gateway, mechanism, outcome="proven"):
    """Whether the gateway says that somebody came in by it, and did not fall back to something else."""
    gateway.stop()
    with open(gateway.log, encoding="utf-8") as file:
        logins = [line for line in file if '"event":"login"' in line]
    if not logins or any(f'"mechanism":"{mechanism}"' not in line or f'"outcome":"{outcome}"' not in line
                         for line in logins):
        raise Failure(f"not {mechanism}: {logins}")


def gsasl(mechanism, protocol, *options):
    """With its own verifier in the account file, for SCRAM."""
    def check(gateway):
        program = client("gsasl")
        secrets = None
        if mechanism.startswith("SCRAM"):
            kind = mechanism.replace("-PLUS", "")
            secrets = run([program, "--mkpasswd", f"--mechanism={kind}", f"--password={PASSWORD}",
                           "--iteration-count=5000"]).decode().strip()
        with own(gateway, secrets) as mine:
            port = mine.ports["submission" if protocol == "smtp" else protocol]
            command = [program, f"--{protocol}", f"--connect=127.0.0.1:{port}", "--starttls",
                       "--x509-ca-file=", f"--mechanism={mechanism}", f"--authentication-id={USER}",
                       f"--password={PASSWORD}", *options]
            run(command, data=b"")
            used(mine, mechanism)
        with own(gateway, secrets) as mine:
            port = mine.ports["submission" if protocol == "smtp" else protocol]
            command[2] = f"--connect=127.0.0.1:{port}"
            done = subprocess.run([part.replace(f"--password={PASSWORD}", "--password=wrong")
                                   for part in command], input=b"", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=60, check=False)
            if done.returncode == 0:
                raise Failure("it came in with a wrong password: " + done.stdout.decode())
            used(mine, mechanism, "wrong")
    return check


def send(gateway, command, mechanism):
    run(command, data=b"Subject: hello\r\n\r\nhello\r\n")
    used(gateway, mechanism)


def msmtp(mechanism):
    def check(gateway):
        with own(gateway) as mine:
            send(mine, [client("msmtp"), "--file=/dev/null", "--host=127.0.0.1",
                        f"--port={mine.ports['submission']}", f"--from={USER}", "--tls=on",
                        "--tls-certcheck=off", f"--auth={mechanism.lower()}", f"--user={USER}",
                        f"--passwordeval=echo {PASSWORD}", USER], mechanism)
    return check


def mpop(mechanism):
    def check(gateway):
        with own(gateway) as mine:
            box = folder(mine, "mpop")
            for name in ("cur", "new", "tmp"):
                os.mkdir(os.path.join(box, name))
            run([client("mpop"), "--file=/dev/null", "--host=127.0.0.1", f"--port={mine.ports['pop3']}",
                 f"--user={USER}", f"--passwordeval=echo {PASSWORD}", f"--delivery=maildir,{box}",
                 f"--uidls-file={mine.directory}/uidls", "--tls=on", "--tls-certcheck=off",
                 f"--auth={mechanism.lower()}"])
            used(mine, mechanism)
    return check


def swaks(mechanism):
    def check(gateway):
        with own(gateway) as mine:
            run([client("swaks"), "--server", "127.0.0.1", "--port", str(mine.ports["submission"]), "--tls",
                 "--from", USER, "--to", USER, "--auth", mechanism, "--auth-user", USER,
                 "--auth-password", PASSWORD])
            used(mine, mechanism)
    return check


def mbsync(mechanism):
    def check(gateway):
        program = client("mbsync")
        with own(gateway) as mine:
            box = folder(mine, "mbsync")
            settings = mine.write("mbsyncrc", f"""IMAPAccount alice
Host localhost
Port {mine.ports["imap"]}
User {USER}
Pass {PASSWORD}
SSLType STARTTLS
CertificateFile {mine.directory}/certificate.pem
AuthMechs {mechanism}

IMAPStore remote
Account alice

MaildirStore here
Path {box}/
Inbox {box}/INBOX

Channel both
Far :remote:
Near :here:
Create Near
SyncState *
""")
            run([program, "-c", settings, "both"])
            used(mine, mechanism)
    return check


def python_cram_md5(gateway):
    with own(gateway) as mine:
        session = smtplib.SMTP("127.0.0.1", mine.ports["submission"], timeout=60)
        session.ehlo()
        session.user, session.password = USER, PASSWORD
        session.auth("CRAM-MD5", session.auth_cram_md5)
        session.quit()
        mailbox = imaplib.IMAP4("127.0.0.1", mine.ports["imap"])
        mailbox.login_cram_md5(USER, PASSWORD)
        mailbox.logout()
        used(mine, "CRAM-MD5")


def curl(mechanism, scheme):
    """With a token, and with one that is no good."""
    def check(gateway):
        with TokenServer() as server:
            server.known["a-token"] = {"active": True, "email": USER}
            more = (f'module "auth_oauth" {{ introspection_url = "{server.url}/introspect", '
                    f'client_id = "post:ern", client_secret = "s e" }}')
            for token, outcome in (("a-token", "proven"), ("another", "wrong")):
                # Where both are offered, curl takes the newer one, whatever it is told.
                with own(gateway, more=more, mechanisms=[mechanism]) as mine:
                    port = mine.ports[{"smtp": "submission"}.get(scheme, scheme)]
                    done = subprocess.run(
                        [client("curl"), "-sS", "-k", "--ssl-reqd", f"{scheme}://127.0.0.1:{port}/",
                         "--user", USER, "--oauth2-bearer", token, "--login-options", f"AUTH={mechanism}",
                         *(("--mail-from", USER, "--mail-rcpt", USER, "--upload-file", "-")
                           if scheme == "smtp" else ())],
                        input=b"Subject: hello\r\n\r\nhello\r\n", stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT, timeout=60, check=False)
                    if (done.returncode == 0) != (outcome == "proven"):
                        raise Failure(f"{token}: {done.returncode}: {done.stdout.decode()}")
                    # By the older one curl does not stay to hear that it failed.
                    if mechanism == "XOAUTH2" and outcome == "wrong":
                        outcome = "abandoned"
                    used(mine, mechanism, outcome)
    return check


# gsasl binds to the channel or, under TLS, wants to be told not to.
CHECKS = [(f"gsasl_{name.lower().replace('-', '_')}_by_{protocol}", gsasl(name, protocol, *options))
          for name, options in (("SCRAM-SHA-256-PLUS", ()), ("SCRAM-SHA-1-PLUS", ()),
                                ("SCRAM-SHA-256", ("--no-cb",)), ("SCRAM-SHA-1", ("--no-cb",)),
                                ("CRAM-MD5", ()))
          for protocol in ("imap", "smtp")]
CHECKS += [("msmtp_scram_sha_256", msmtp("SCRAM-SHA-256")), ("mpop_scram_sha_256", mpop("SCRAM-SHA-256")),
           ("mbsync_scram_sha_256", mbsync("SCRAM-SHA-256")), ("mbsync_cram_md5", mbsync("CRAM-MD5")),
           ("swaks_cram_md5", swaks("CRAM-MD5")), ("smtplib_and_imaplib_cram_md5", python_cram_md5)]
CHECKS += [(f"curl_{name.lower()}_by_{scheme}", curl(name, scheme))
           for name in ("OAUTHBEARER", "XOAUTH2") for scheme in ("smtp", "pop3", "imap")]
