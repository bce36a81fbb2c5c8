# SPDX-License-Identifier: Apache-2.0
"""TLS as clients see it: which certificate is shown, whose sessions are resumed, and by whom; what
clients show, and what policy is told of it."""

import base64
import datetime
import os
import re
import signal
import socket
import ssl
import subprocess

from support import PASSWORD, check, edges, edit, postern, serve_fails, wait_for

TELL = """on("client.hello", function(session)
	local shown = session.client_certificate
	if shown == nil then return reject(550, "5.7.1", "none") end
	return reject(550, "5.7.1", (shown.is_verified and "verified" or "unverified") .. "|" .. shown.name ..
		"|" .. shown.subject .. "|" .. shown.issuer .. "|" .. shown.fingerprint .. "|" .. shown.problem)
end)
"""
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
BANNER = "banner_worker = true"


def openssl(*words, data=None):
    """Runs it; what it printed."""
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, check=False)
    check(done.returncode == 0, f"openssl {words}: {done.stderr.decode(errors='replace')[-500:]}")
    return done.stdout


class Maker:
    """Makes certificates in a directory."""

    def __init__(self, directory):
        self.directory = directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def key(self, name, kind="EC"):
        words = ("-pkeyopt", "ec_paramgen_curve:prime256v1") if kind == "EC" else \
            ("-pkeyopt", "rsa_keygen_bits:2048")
        openssl("genpkey", "-algorithm", kind, *words, "-out", self.path(name + ".key"))
        return self.path(name + ".key")

    def own(self, name, subject, *extensions, kind="EC"):
        """A certificate that vouches for itself: (certificate, key)."""
        key = self.key(name, kind)
        openssl("req", "-x509", "-new", "-key", key, "-days", "30", "-subj", subject, "-utf8",
                "-multivalue-rdn", *(word for each in extensions for word in ("-addext", each)),
                "-out", self.path(name + ".pem"))
        return self.path(name + ".pem"), key

    def signed(self, name, subject, authority, *extensions, days="30", seconds=None):
        """One that an authority vouches for; with seconds, until so soon from now."""
        key = self.key(name)
        openssl("req", "-new", "-key", key, "-subj", subject, "-utf8", "-out", self.path(name + ".csr"))
        with open(self.path(name + ".ext"), "w", encoding="utf-8") as file:
            file.write("".join(each + "\n" for each in extensions))
        # `x509 -req` knows no past and no hours: an authority in miniature does.
        if days == "past":
            self._from_to(name, authority, "20200101000000Z", "20200201000000Z")
        elif seconds is not None:
            ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
            self._from_to(name, authority, "20200101000000Z", ends.strftime("%Y%m%d%H%M%SZ"))
        else:
            openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", authority[0], "-CAkey",
                    authority[1], "-CAcreateserial", "-days", days, "-extfile", self.path(name + ".ext"),
                    "-out", self.path(name + ".pem"))
        return self.path(name + ".pem"), key

    def _from_to(self, name, authority, begins, ends):
        for file, text in (("index.txt", ""), ("serial", "10\n"), ("ca.conf", (
                "[ca]\ndefault_ca=it\n[it]\ndatabase=%s\nserial=%s\nnew_certs_dir=%s\ndefault_md=sha256\n"
                "policy=any\n[any]\ncommonName=supplied\n" % (
                    self.path("index.txt"), self.path("serial"), self.directory)))):
            with open(self.path(file), "w", encoding="utf-8") as out:
                out.write(text)
        openssl("ca", "-batch", "-config", self.path("ca.conf"), "-in", self.path(name + ".csr"), "-cert",
                authority[0], "-keyfile", authority[1], "-startdate", begins, "-enddate", ends,
                "-out", self.path(name + ".pem"), "-notext")


def context_for(version=None, shows=None):
    """Of a client that trusts everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if shows is not None:
        context.load_cert_chain(*shows)
    return context


class Line:
    """A connection with TLS from the first byte, and the lines of whoever answers."""

    def __init__(self, gateway, port, context, name="mx.example.test", session=None):
        plain = socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=20)
        try:
            self.tls = context.wrap_socket(plain, server_hostname=name, session=session)
        except BaseException:
            plain.close()
            raise
        self.file = self.tls.makefile("rwb", buffering=0)

    def line(self):
        return self.file.readline().decode("ascii")

    def ask(self, text):
        self.file.write(text.encode() + b"\r\n")
        return self.line()

    def close(self):
        self.file.close()
        self.tls.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def begin(gateway, port, context, **options):
    """A session to come back with: (session, banner)."""
    with Line(gateway, port, context, **options) as line:
        banner = line.line() # in TLS 1.3 what seals a session comes in front of it
        return line.tls.session, banner


def is_resumed(gateway, port, context, session, name="mx.example.test"):
    with Line(gateway, port, context, name=name, session=session) as line:
        line.line()
        return line.tls.session_reused


def subject_of(der):
    return openssl("x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253", data=der).decode().strip()


class TlsTests:
    """Mixed into Tests."""

    def _gateway_with_tls(self, **options):
        gateway = self.gateway(start=False, tls=True, **options)
        return gateway, Maker(gateway.directory)

    @staticmethod
    def _ask_clients(gateway, words, port="submissions"):
        edit(gateway, f'"127.0.0.1:{gateway.ports[port]}", to', f'"127.0.0.1:{gateway.ports[port]}", {words}, to')

    # ---- what we show ----

    def the_name_that_is_asked_for_chooses_the_certificate(self):
        gateway, maker = self._gateway_with_tls()
        more = ""
        for name in ("one.example.test", "*.two.example.test"):
            pair = maker.own(name.replace("*", "any"), f"/CN={name}", f"subjectAltName=DNS:{name}")
            more += f'certificate {{ "{pair[0]}", key = "{pair[1]}" }}\n'
        edit(gateway, "domain ", more + "domain ")
        gateway.start()
        for asked, shown in (("one.example.test", "CN=one.example.test"),
                             ("ONE.example.test", "CN=one.example.test"),
                             ("a.two.example.test", "CN=*.two.example.test"),
                             ("two.example.test", "CN=localhost"),
                             ("a.b.two.example.test", "CN=localhost"),
                             ("elsewhere.example", "CN=localhost"), (None, "CN=localhost")):
            with Line(gateway, "submissions", context_for(), name=asked) as line:
                found = subject_of(line.tls.getpeercert(True))
            check(found == "subject=" + shown, f"{asked} is shown {found}")

    def certificates_of_two_kinds_for_one_name_are_offered_together(self):
        gateway, maker = self._gateway_with_tls()
        pair = maker.own("rsa", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1", kind="RSA")
        edit(gateway, "domain ", f'certificate {{ "{pair[0]}", key = "{pair[1]}" }}\ndomain ')
        gateway.start()
        for ciphers, kind in (("ECDHE-ECDSA-AES128-GCM-SHA256", "id-ecPublicKey"),
                              ("ECDHE-RSA-AES128-GCM-SHA256", "rsaEncryption")):
            context = context_for(ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(ciphers)
            with Line(gateway, "submissions", context) as line:
                text = openssl("x509", "-inform", "DER", "-noout", "-text", data=line.tls.getpeercert(True)).decode()
            check(f"Public Key Algorithm: {kind}" in text, f"with {ciphers} another key is shown: {text[:600]}")

    def old_versions_of_tls_are_refused(self):
        gateway, _ = self._gateway_with_tls()
        gateway.start()
        for version in VERSIONS:
            with Line(gateway, "submissions", context_for(version)) as line:
                check(line.line().startswith("220 "), "no banner")
        for version in ("-tls1", "-tls1_1"):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.ports['submissions']}", version,
                                   "-cipher", "ALL:@SECLEVEL=0"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
            check(b"alert protocol version" in done.stderr, f"{version}: {done.stderr[-400:]}")

    def renegotiation_is_refused(self):
        gateway, _ = self._gateway_with_tls()
        gateway.start()
        with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.ports['submissions']}", "-tls1_2", "-crlf"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
            said = b""
            while b"220 mx.example.test" not in said:
                more = os.read(client.stdout.fileno(), 4096)
                check(more, f"no banner: {said[-400:]}")
                said += more
            client.stdin.write(b"R\n")
            client.stdin.flush()
            said += client.stdout.read()
        check(b"no renegotiation" in said, f"it says: {said[-600:]}")

    def a_handshake_has_a_deadline(self):
        gateway, _ = self._gateway_with_tls(settings='tls_handshake_deadline = "50ms"')
        gateway.start()
        with socket.create_connection(("127.0.0.1", gateway.ports["submissions"]), timeout=20) as line:
            check(line.recv(1) == b"", "it waits for ever")

    # ---- sessions that are resumed ----

    def sessions_are_resumed_by_any_worker(self):
        gateway, _ = self._gateway_with_tls(workers=3, submission=BANNER)
        gateway.start()
        for version in VERSIONS:
            context = context_for(version)
            session, first = begin(gateway, "submissions", context)
            banners = set()

            def other_worker():
                with Line(gateway, "submissions", context, session=session) as line:
                    banners.add(line.line())
                    check(line.tls.session_reused, f"{version.name}: a session of {first} is not resumed by {banners}")
                return banners - {first}
            wait_for(other_worker, "another worker takes the session", 60)

    def sessions_outlive_workers_and_reloads(self):
        gateway, _ = self._gateway_with_tls(workers=2)
        gateway.start()
        context = context_for()
        session, _ = begin(gateway, "submissions", context)
        for pid in edges(gateway).values():
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda gone=pid: len(edges(gateway)) == 2 and gone not in edges(gateway).values(), "a new worker", 30)
        check(is_resumed(gateway, "submissions", context, session), "not after the workers were replaced")
        edit(gateway, "stop_grace", "dns_deadline = \"9s\"\nstop_grace")
        check(postern(gateway, "reload").returncode == 0, "the reload failed")
        check(is_resumed(gateway, "submissions", context, session), "not after a reload that has nothing to do with it")

    def sessions_belong_to_their_service_and_name(self):
        gateway, _ = self._gateway_with_tls()
        gateway.start()
        for version in VERSIONS:
            context = context_for(version)
            session, _ = begin(gateway, "submissions", context)
            check(is_resumed(gateway, "submissions", context, session), f"{version.name}: not at all")
            for port in ("imaps", "pop3s"):
                check(not is_resumed(gateway, port, context, session), f"{version.name}: a session of submission is good for {port}")
            check(not is_resumed(gateway, "submissions", context, session, name="other.example.test"),
                  f"{version.name}: a session of one name is good for another")
            check(is_resumed(gateway, "submissions", context, session), f"{version.name}: no more")

    def sessions_belong_to_their_configuration(self):
        gateway, maker = self._gateway_with_tls()
        gateway.start()
        context = context_for()
        session, _ = begin(gateway, "submissions", context)
        authority = maker.own("authority", "/CN=Authority", "basicConstraints=critical,CA:TRUE")
        self._ask_clients(gateway, f'client_certificates = "requested", client_authorities = "{authority[0]}"')
        check(postern(gateway, "reload").returncode == 0, "the reload failed")
        check(not is_resumed(gateway, "submissions", context, session), "a session from before clients were asked for certificates is good")
        session, _ = begin(gateway, "submissions", context)
        check(is_resumed(gateway, "submissions", context, session), "not at all, where clients are asked")
        other = maker.own("other", "/CN=Other", "basicConstraints=critical,CA:TRUE")
        edit(gateway, authority[0], other[0])
        check(postern(gateway, "reload").returncode == 0, "the reload failed")
        check(not is_resumed(gateway, "submissions", context, session), "a session under other authorities is good")
        session, _ = begin(gateway, "submissions", context)
        mine = maker.own("certificate", "/CN=localhost", "subjectAltName=DNS:localhost")
        os.replace(mine[1], os.path.join(gateway.directory, "key.pem"))
        check(postern(gateway, "reload").returncode == 0, "the reload failed")
        check(not is_resumed(gateway, "submissions", context, session), "a session under another certificate is good")

    def sessions_end_with_their_lifetime(self):
        gateway, _ = self._gateway_with_tls(settings='tls_session_lifetime = "1s"')
        gateway.start()
        for version in VERSIONS:
            context = context_for(version)
            session, _ = begin(gateway, "submissions", context)
            wait_for(lambda: not is_resumed(gateway, "submissions", context, session), f"{version.name}: the end of a session", 30)
            session, _ = begin(gateway, "submissions", context)
            check(not session.has_ticket or session.ticket_lifetime_hint <= 1, f"it is said to live {session.ticket_lifetime_hint} s")

    # ---- what clients show ----

    @staticmethod
    def _told_of(gateway, shows=None, session=None, context=None):
        with Line(gateway, "submissions", context or context_for(shows=shows), session=session) as line:
            line.line()
            said = line.ask("EHLO c.example")
            check(said.startswith("550 ") and said.endswith("\r\n"), f"EHLO is answered {said!r}")
            return said[4:-2], line.tls.session, line.tls.session_reused

    def policy_is_told_what_clients_show(self):
        gateway, maker = self._gateway_with_tls(files={"tell.lua": TELL}, more='policy "tell.lua"')
        authority = maker.own("authority", "/CN=Authority", "basicConstraints=critical,CA:TRUE")
        stranger = maker.own("stranger", "/CN=Authority", "basicConstraints=critical,CA:TRUE")
        self._ask_clients(gateway, f'client_certificates = "requested", client_authorities = "{authority[0]}"')
        gateway.start()
        check(self._told_of(gateway)[0] == "none", "a client without a certificate")
        clients = {
            "good": maker.signed("good", "/O=Example/CN=Alice A", authority, "subjectAltName=email:alice@example.test,DNS:a.example"),
            "common": maker.signed("common", "/CN=bob@example.test", authority),
            "expired": maker.signed("expired", "/CN=old@example.test", authority, days="past"),
            "server": maker.signed("server", "/CN=mx.example.test", authority, "extendedKeyUsage=serverAuth"),
            "strange": maker.signed("strange", "/CN=alice@example.test", stranger),
            "own": maker.own("own", "/CN=alice@example.test"),
            "utf8": maker.own("utf8", "/CN=Zoë\x1b[31m"),
            "lines": maker.own("lines", "/CN=a\r\n250 injected"),
            "two": maker.own("two", "/CN=alice@example.test/CN=bob@example.test"),
        }
        wanted = {
            "good": ("verified", "alice@example.test", "CN=Alice A,O=Example", ""),
            "common": ("verified", "bob@example.test", "CN=bob@example.test", ""),
            "expired": ("unverified", "old@example.test", "CN=old@example.test", "certificate has expired"),
            "server": ("unverified", "mx.example.test", "CN=mx.example.test", "unsuitable certificate purpose"),
            "strange": ("unverified", "alice@example.test", "CN=alice@example.test", "certificate signature failure"),
            "own": ("unverified", "alice@example.test", "CN=alice@example.test", "self-signed certificate"),
            "utf8": ("unverified", "", "CN=Zo\\C3\\AB\\1B[31m", "self-signed certificate"),
            "lines": ("unverified", "", "CN=a\\0D\\0A250 injected", "self-signed certificate"),
            "two": ("unverified", "", "CN=bob@example.test,CN=alice@example.test", "self-signed certificate"),
        }
        for name, pair in clients.items():
            verified, who, subject, problem = wanted[name]
            said = self._told_of(gateway, pair)[0].split("|")
            digest = openssl("x509", "-in", pair[0], "-noout", "-fingerprint", "-sha256").decode().split("=")[1]
            check(said[:3] == [verified, who, subject] and said[4] == digest.strip().replace(":", "").lower() and
                  said[5] == problem, f"{name}: {said}")
            check(said[3] == ("CN=Authority" if name in ("good", "common", "expired", "server", "strange") else subject),
                  f"{name}: its issuer is {said[3]}")
        # Who comes back is who he was.
        for pair, what in ((clients["good"], "verified|alice@"), (clients["own"], "unverified|alice@")):
            context = context_for(shows=pair)
            first, session, _ = self._told_of(gateway, context=context)
            again, _, is_reused = self._told_of(gateway, context=context, session=session)
            check(is_reused and again == first and first.startswith(what), f"resumed {is_reused}: {first} became {again}")

    def sessions_end_with_the_certificate_that_was_shown(self):
        gateway, maker = self._gateway_with_tls(files={"tell.lua": TELL}, more='policy "tell.lua"')
        authority = maker.own("authority", "/CN=Authority", "basicConstraints=critical,CA:TRUE")
        self._ask_clients(gateway, f'client_certificates = "requested", client_authorities = "{authority[0]}"')
        gateway.start()
        for version in VERSIONS:
            # So soon that nobody waits long; on a slow machine, later.
            for seconds in (4, 20, 60):
                shown = maker.signed("short", "/CN=alice@example.test", authority, seconds=seconds)
                context = context_for(version, shows=shown)
                first, session, _ = self._told_of(gateway, context=context)
                again, _, is_reused = self._told_of(gateway, context=context, session=session)
                if first.startswith("verified|") and is_reused:
                    break
            check(first == again and first.startswith("verified|") and is_reused, f"{version.name}: {first}, {again}, {is_reused}")
            newest = [session]

            def is_found_out():
                # As a client does that always comes back with the newest that it got.
                said, newest[0], is_reused = self._told_of(gateway, context=context, session=newest[0])
                expired = said.startswith("unverified|") and said.endswith("|certificate has expired")
                check(expired or (is_reused and said == first), f"{version.name}: resumed {is_reused}: {said}")
                return expired
            wait_for(is_found_out, f"{version.name}: a certificate has expired", 120)

    def clients_without_a_certificate_can_be_turned_away(self):
        gateway, maker = self._gateway_with_tls(files={"tell.lua": TELL}, more='policy "tell.lua"')
        authority = maker.own("authority", "/CN=Authority", "basicConstraints=critical,CA:TRUE")
        good = maker.signed("good", "/CN=alice@example.test", authority)
        own = maker.own("own", "/CN=alice@example.test")
        self._ask_clients(gateway, f'client_certificates = "required", client_authorities = "{authority[0]}"')
        gateway.start()
        check(self._told_of(gateway, good)[0].startswith("verified|alice@example.test|"), "the good one")
        for shows in (None, own):
            try:
                with Line(gateway, "submissions", context_for(shows=shows)) as line:
                    said = line.line()
            except (ssl.SSLError, ConnectionResetError):
                continue
            check(said == "", f"a client that shows {shows} is greeted: {said!r}")
        # Nor does it help to have been let in before.
        for version in VERSIONS:
            shown = maker.signed("short", "/CN=alice@example.test", authority, seconds=20)
            context = context_for(version, shows=shown)
            session = self._told_of(gateway, context=context)[1]

            def is_turned_away():
                try:
                    with Line(gateway, "submissions", context, session=session) as line:
                        return line.line() == ""
                except (ssl.SSLError, ConnectionResetError):
                    return True
            wait_for(is_turned_away, f"{version.name}: a certificate that has expired is no longer let in", 120)

    def who_shows_a_certificate_can_log_in_with_it(self):
        external = 'mechanisms = { "EXTERNAL", "PLAIN" }, '
        judge = 'on("auth.verify", function(session, attempt)\n\tif attempt.identity == "known@elsewhere.example" then ' \
                'return accept() end\n\tif attempt.identity == "bob@example.test" then return reject(535, "5.7.8", "not bob") end\nend)\n'
        gateway, maker = self._gateway_with_tls(submission=external, imap=external, pop3=external, files={"judge.lua": judge},
                                                more='policy "judge.lua"', auth="")
        authority = maker.own("authority", "/CN=Authority", "basicConstraints=critical,CA:TRUE")
        for port in ("submissions", "imaps", "pop3s"):
            self._ask_clients(gateway, f'client_certificates = "requested", client_authorities = "{authority[0]}"', port=port)
        gateway.start()
        clients = {
            "alice": maker.signed("alice", "/CN=Alice", authority, "subjectAltName=email:Alice@example.test"),
            "bob": maker.signed("bob", "/CN=bob@example.test", authority),
            "dora": maker.signed("dora", "/CN=dora@example.test", authority),
            "nobody": maker.signed("nobody", "/CN=nobody@example.test", authority),
            "elsewhere": maker.signed("elsewhere", "/CN=stranger@elsewhere.example", authority),
            "known": maker.signed("known", "/CN=known@elsewhere.example", authority),
            "device": maker.signed("device", "/CN=printer 7", authority),
            "own": maker.own("own", "/CN=alice@example.test"),
            "none": None,
        }
        good = {"alice", "known"}

        def offer(line, port):
            if port == "submissions":
                line.line()
                line.file.write(b"EHLO c.example\r\n")
                said = ""
                while not said.splitlines() or said.splitlines()[-1][3:4] == "-":
                    said += line.line()
                return said
            line.line()
            line.file.write(b"a CAPABILITY\r\n" if port == "imaps" else b"CAPA\r\n")
            said = line.line()
            while not re.search(r"(?m)^(a OK|\.\r)", said):
                said += line.line()
            return said

        def log_in(line, port, response, initial):
            word = {"submissions": "AUTH EXTERNAL", "imaps": "b AUTHENTICATE EXTERNAL", "pop3s": "AUTH EXTERNAL"}[port]
            if initial:
                return line.ask(f"{word} {response or '='}")
            asked = line.ask(word)
            if not re.match(r"(334 |\+ )", asked):
                return asked
            return line.ask(response)

        success = {"submissions": "235 ", "imaps": ("b OK", "* CAPABILITY"), "pop3s": "+OK"}
        alice = base64.b64encode(b"alice@example.test").decode()
        bob = base64.b64encode(b"bob@example.test").decode()
        for port, yes in success.items():
            for name, shows in clients.items():
                offered = name not in ("own", "none", "device")
                for response, initial in (("", True), ("", False)):
                    with Line(gateway, port, context_for(shows=shows)) as line:
                        said = offer(line, port)
                        check(("EXTERNAL" in said) == offered, f"{port}, {name}: {said}")
                        if name == "known" and port != "submissions":
                            continue # who has no account reads no mail
                        said = log_in(line, port, response, initial)
                        check(said.startswith(yes) == (name in good), f"{port}, {name}, {initial}: {said}")
                        check(name != "bob" or "not bob" in said, f"{port}, {name}: {said}")
            for response, works in ((alice, True), (bob, False), ("AAAA", False), ("****", False), ("*", False)):
                with Line(gateway, port, context_for(shows=clients["alice"])) as line:
                    offer(line, port)
                    said = log_in(line, port, response, False)
                    check(said.startswith(yes) == works, f"{port}, as {response}: {said}")
                    # And a password still does.
                    if works:
                        continue
                    secret = base64.b64encode(f"\0alice@example.test\0{PASSWORD}".encode()).decode()
                    word = {"submissions": "AUTH PLAIN", "imaps": "c AUTHENTICATE PLAIN", "pop3s": "AUTH PLAIN"}[port]
                    said = line.ask(f"{word} {secret}")
                    check(said.startswith(("235 ", "c OK", "* CAPABILITY", "+OK")), f"{port}, then by password: {said}")

    def settings_of_client_certificates_are_checked(self):
        for words, tls, sentence in (
                ('client_certificates = "sometimes"', True, 'postern.lua:[0-9]+: client_certificates must be "never", "requested" or "required", not "sometimes"'),
                ('client_certificates = "required"', True, 'postern.lua:[0-9]+: client_certificates = "required" needs client_authorities'),
                ('client_authorities = "users"', True, 'postern.lua:[0-9]+: client_authorities is for nothing without client_certificates'),
                ('client_certificates = "requested", client_authorities = "users"', True, "postern.lua:[0-9]+: .*users holds no certificates in PEM form"),
                ('client_certificates = "requested", client_authorities = "empty.pem"', True, "postern.lua:[0-9]+: .*empty.pem holds no certificates in PEM form"),
                ('client_certificates = "requested", client_authorities = "absent.pem"', True, "postern.lua:[0-9]+: .*absent.pem"),
                ('client_certificates = "requested", tls = "never"', True, "client_certificates needs TLS"),
                ('client_certificates = "requested"', False, "client_certificates needs a certificate")):
            gateway = self.gateway(start=False, tls=tls, files={"empty.pem": ""})
            self._ask_clients(gateway, words, port="mx")
            serve_fails(gateway, sentence)
