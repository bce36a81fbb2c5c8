#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logging in, with every mechanism, over every protocol; prints "ok NAME" or "not ok NAME".

    tests/authentication/run.py --build DIR [NAME-PART …]

Who may come in comes in; everybody else is told the same, whatever was wrong, and is not inside.
Most cases are made from tables (cases.py): what a client can say at each step of each mechanism.
"""

import argparse
import base64
import os
import re
import ssl
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
import cases  # noqa: E402
import tokens  # noqa: E402
from doors import Door, PROTOCOLS, any_certificate  # noqa: E402
from gateway import Gateway, GatewayError, DOMAIN, PASSWORD, SHA512  # noqa: E402
from mechanisms import Scram, Wrong, bearer, cram, login, plain, verifier, xoauth2  # noqa: E402

ALL = ("SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN "
       "CRAM-MD5").split()
UMLAUTS = "pa\u0308sswo\u0308rd\u00a0x"  # decomposed, and with another kind of space


def users():
    plain_secret = "{PLAIN.B64}" + base64.b64encode(b"with: space").decode()
    return f"""# who can log in, and how
alice@{DOMAIN}:{SHA512} {verifier(PASSWORD)} {verifier(PASSWORD, "sha1")} {{PLAIN}}{PASSWORD}:
bob@{DOMAIN}:{SHA512}:
carol@{DOMAIN}:{verifier(PASSWORD)}:
dora@{DOMAIN}:{SHA512} {verifier(PASSWORD)} {{PLAIN}}{PASSWORD}:disabled=yes
erin@{DOMAIN}:{plain_secret}:
frieda@{DOMAIN}:{verifier(UMLAUTS)}:
grace@{DOMAIN}:{verifier(PASSWORD, "sha1")}:
o=o@{DOMAIN}:{verifier(PASSWORD)}:
locked@{DOMAIN}:!:
alias team@{DOMAIN}: alice@{DOMAIN}
"""


def options(mechanisms=None, settings="", clear="loopback", more=""):
    names = "" if mechanisms is None else (
        "mechanisms = { " + ", ".join(f'"{name}"' for name in mechanisms) + " }, ")
    many = 'max_login_failures = 1000, '
    text = f'{names}{many}plaintext_login = "{clear}"'
    return dict(submission=text + ", max_errors = 100000", pop3=text + ", max_errors = 100000",
                imap=text + ", max_errors = 100000", settings=settings, more=more,
                store='module "store_local" { as = "local" }')


class Failure(Exception):
    """Something is not as it should be."""


def want(condition, what):
    if not condition:
        raise Failure(what)


def play(door, mechanism, exchange, with_initial=True):
    """Plays a client to its end; how the last message was answered."""
    message = next(exchange)
    if with_initial:
        answer = door.start(mechanism, message)
    else:
        answer = door.start(mechanism)
        want(answer.word == "challenge", f"{mechanism} begins with {answer}")
        answer = door.say(message)
    while answer.word == "challenge":
        try:
            answer = door.say(exchange.send(answer.data))
        except StopIteration:
            raise Failure(f"{mechanism} goes on with {answer}") from None
    return answer


def bound(door, name, password, **changes):
    changes.setdefault("binding", door.binding())
    return Scram(name, password, flag="p=tls-exporter", **changes).messages()


def exchange_for(door, mechanism, name, password):
    """The client of a mechanism, as a generator; a token for what takes one."""
    if mechanism.endswith("-PLUS"):
        return bound(door, name, password, digest="sha1" if "SHA-1-" in mechanism else "sha256")
    if mechanism.startswith("SCRAM"):
        return Scram(name, password, digest="sha1" if mechanism.endswith("-1") else "sha256").messages()
    return {"PLAIN": plain, "LOGIN": login}[mechanism](name, password)


def cram_login(door, name, password):
    answer = door.start("CRAM-MD5")
    want(answer.word == "challenge" and answer.data.startswith(b"<"), f"CRAM-MD5: {answer}")
    return door.say(cram(name, password, answer.data))


# ---- who may come in ----

def offers(gateway):
    """Each protocol says the same, and -PLUS only under TLS."""
    for protocol in PROTOCOLS:
        with Door(gateway, protocol, tls=True) as door:
            said = door.offered()
            want(said == [name for name in ALL if "OAUTH" not in name],
                 f"{protocol} with TLS: {said}")
        with Door(gateway, protocol) as door:
            said = door.offered()
            want(said == [name for name in ALL if "OAUTH" not in name and "PLUS" not in name],
                 f"{protocol}: {said}")


def comes_in(mechanism):
    def check(gateway):
        for protocol in PROTOCOLS:
            for with_initial in (True, False):
                with Door(gateway, protocol, tls=True) as door:
                    if mechanism == "CRAM-MD5":
                        answer = cram_login(door, "Alice", PASSWORD)
                    else:
                        exchange = exchange_for(door, mechanism, "alice", PASSWORD)
                        answer = play(door, mechanism, exchange, with_initial)
                    want(answer.word == "yes" and door.is_inside(),
                         f"{protocol}, initial response {with_initial}: {answer}")
    return check


def stays_out(mechanism):
    """Every reason to be refused reads the same, and nobody is inside."""
    def check(gateway):
        for protocol in PROTOCOLS:
            said = set()
            for name, password in (("alice", "wrong"), ("nobody", PASSWORD), ("dora", PASSWORD),
                                   ("team", PASSWORD), ("locked", PASSWORD), ("alice", PASSWORD + " "),
                                   ("alice@elsewhere.test", PASSWORD)):
                with Door(gateway, protocol, tls=True) as door:
                    if mechanism == "CRAM-MD5":
                        answer = cram_login(door, name, password)
                    else:
                        answer = play(door, mechanism, exchange_for(door, mechanism, name, password))
                    said.add(answer.line)
                    want(answer.word == "wrong" and not door.is_inside(),
                         f"{protocol}, {name}: {answer}")
            want(len(said) == 1, f"{protocol} says {said}")
    return check


def each_with_what_it_has(gateway):
    """Whose account has which secret."""
    for name, password, mechanism, word in (
            ("bob", PASSWORD, "PLAIN", "yes"), ("bob", PASSWORD, "SCRAM-SHA-256", "wrong"),
            ("carol", PASSWORD, "PLAIN", "yes"), ("carol", "wrong", "PLAIN", "wrong"),
            ("carol", PASSWORD, "SCRAM-SHA-256", "yes"), ("carol", PASSWORD, "SCRAM-SHA-1", "wrong"),
            ("erin", "with: space", "PLAIN", "yes"), ("erin", "with", "PLAIN", "wrong"),
            ("erin", "with: space", "SCRAM-SHA-256", "wrong"),
            ("frieda", UMLAUTS, "SCRAM-SHA-256", "yes"), ("frieda", UMLAUTS, "PLAIN", "yes"),
            ("frieda", "p\u00e4ssw\u00f6rd x", "PLAIN", "yes"),
            ("frieda", "passwo\u0308rd x", "PLAIN", "wrong"),
            ("grace", PASSWORD, "SCRAM-SHA-1", "yes"), ("grace", PASSWORD, "PLAIN", "yes"),
            ("grace", PASSWORD, "SCRAM-SHA-256", "wrong"),
            ("o=o", PASSWORD, "SCRAM-SHA-256", "yes"),
            # RFC 4013: full width letters are letters.
            ("\uff41lice", PASSWORD, "SCRAM-SHA-256", "yes")):
        with Door(gateway, "imap", tls=True) as door:
            answer = play(door, mechanism, exchange_for(door, mechanism, name, password))
            want(answer.word == word, f"{name} by {mechanism}: {answer}")
    with Door(gateway, "imap", tls=True) as door:
        answer = cram_login(door, "erin", "with: space")
        want(answer.word == "yes", f"erin by CRAM-MD5: {answer}")
    with Door(gateway, "imap", tls=True) as door:
        answer = cram_login(door, "bob", PASSWORD)
        want(answer.word == "wrong", f"bob by CRAM-MD5: {answer}")


# ---- what is shown of names ----

def scram_first(gateway, name, protocol="imap"):
    client = Scram(name, "whatever")
    with Door(gateway, protocol) as door:
        answer = door.start("SCRAM-SHA-256", client.first())
        want(answer.word == "challenge", f"{name}: {answer}")
        client.final(answer.data)
    return client.salt, client.iterations


def names_are_not_told(gateway):
    """An unknown name has a salt like any other: its own, and always the same."""
    known = scram_first(gateway, "alice")
    want(known == scram_first(gateway, "alice"), "the salt of alice changes")
    seen = set()
    for name in ("nobody", "bob", "dora", "locked", "team", "someone@elsewhere.test"):
        shown = scram_first(gateway, name)
        want(shown == scram_first(gateway, name, "pop3"), f"the salt of {name} changes")
        want(len(shown[0]) == len(known[0]) and shown[1] == known[1],
             f"{name} has another kind of salt: {shown}, {known}")
        seen.add(shown[0])
    want(len(seen) == 6, "names share a salt")


def names_are_not_told_after_a_start(build):
    salts = []
    with Gateway(build, users=users(), **options(ALL)) as gateway:
        salts.append(scram_first(gateway, "nobody"))
        gateway.stop()
        gateway.start()
        salts.append(scram_first(gateway, "nobody"))
        gateway.stop()
        os.unlink(os.path.join(gateway.directory, "data", "login.key"))
        gateway.start()
        salts.append(scram_first(gateway, "nobody"))
    want(salts[0] == salts[1], "another start, another salt")
    want(salts[0] != salts[2], "the salt does not come from the key")


# ---- tables ----

def table(mechanism):
    """Every step of a mechanism, gone wrong in every way; afterwards nobody is inside."""
    def check(gateway):
        failed = []
        for protocol in PROTOCOLS:
            door = None
            for case in cases.of(mechanism):
                door = door or Door(gateway, protocol, tls=True)
                try:
                    answer = case.play(door)
                    good = answer.word in case.words and not door.is_inside()
                except (Wrong, ConnectionError, AssertionError) as error:
                    answer, good = error, False
                if not good:
                    failed.append(f"{protocol}: {case.name}: {answer} instead of {case.words}")
                    door.close()
                    door = None
            if door is not None:
                # And the session is as good as new.
                answer = play(door, "PLAIN", plain("alice", PASSWORD))
                want(answer.word == "yes", f"{protocol}: afterwards {answer}")
                door.close()
        want(not failed, "\n    ".join(failed))
    return check


def the_table_is_large_enough(_gateway):
    count = len(PROTOCOLS) * sum(len(list(cases.of(name))) for name in ALL)
    want(count >= 300, f"{count} cases")
    print(f"# {count} cases from tables")


# ---- binding to the channel ----

def binding(gateway):
    for protocol in PROTOCOLS:
        with Door(gateway, protocol, tls=True) as door:
            other = bytes(32)
            answer = play(door, "SCRAM-SHA-256-PLUS", bound(door, "alice", PASSWORD, binding=other))
            want(answer.word == "wrong", f"{protocol}: bound to nothing: {answer}")
            with Door(gateway, protocol, tls=True) as another:
                answer = play(door, "SCRAM-SHA-256-PLUS",
                              bound(door, "alice", PASSWORD, binding=another.binding()))
            want(answer.word == "wrong", f"{protocol}: bound to another channel: {answer}")
            for flag in ("n", "y", "p=tls-unique", "p=tls-server-end-point"):
                answer = play(door, "SCRAM-SHA-256-PLUS",
                              Scram("alice", PASSWORD, flag=flag, binding=door.binding()).messages())
                want(answer.word == "wrong", f"{protocol}: {flag}: {answer}")
            # All the rest of these is right.
            for flag, bytes_of in (("y", b""), ("p=tls-exporter", b""),
                                   ("p=tls-exporter", door.binding())):
                answer = play(door, "SCRAM-SHA-256",
                              Scram("alice", PASSWORD, flag=flag, binding=bytes_of).messages())
                want(answer.word == "wrong", f"{protocol}: {flag} without -PLUS: {answer}")
            want(not door.is_inside(), f"{protocol}: inside")
            answer = play(door, "SCRAM-SHA-256-PLUS", bound(door, "alice", PASSWORD))
            want(answer.word == "yes", f"{protocol}: bound: {answer}")
        # Without TLS there is nothing to be downgraded from.
        with Door(gateway, protocol) as door:
            answer = door.start("SCRAM-SHA-256-PLUS", Scram("alice", PASSWORD, flag="y").first())
            want(answer.word == "unknown", f"{protocol}: -PLUS without TLS: {answer}")
            answer = play(door, "SCRAM-SHA-256", Scram("alice", PASSWORD, flag="y").messages())
            want(answer.word == "yes", f"{protocol}: y without TLS: {answer}")


def binding_of_old_tls(gateway):
    """TLS 1.2 has something to bind to where its secret is that of one channel."""
    with_it = any_certificate(ssl.TLSVersion.TLSv1_2)
    with Door(gateway, "imap", tls=True, context=with_it) as door:
        want("SCRAM-SHA-256-PLUS" in door.offered(), "not offered in TLS 1.2")
        answer = play(door, "SCRAM-SHA-256-PLUS", bound(door, "alice", PASSWORD))
        want(answer.word == "yes", f"TLS 1.2: {answer}")
    without = any_certificate(ssl.TLSVersion.TLSv1_2, extended_master_secret=False)
    with Door(gateway, "imap", tls=True, context=without) as door:
        want("SCRAM-SHA-256-PLUS" not in door.offered(), "offered without extended master secret")
        answer = door.start("SCRAM-SHA-256-PLUS", Scram("alice", PASSWORD).first())
        want(answer.word == "unknown", f"without extended master secret: {answer}")


# ---- options ----

def secrets_stay_under_tls(build):
    """plaintext_login = "never": what gives a secret away is refused, before it is said if it can be."""
    with Gateway(build, users=users(), **options(ALL, clear="never")) as gateway:
        for protocol in PROTOCOLS:
            with Door(gateway, protocol) as door:
                said = door.offered()
                want(said == ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"], f"{protocol}: {said}")
                for mechanism in ("PLAIN", "LOGIN"):
                    for initial in (None, b"\0alice\0" + PASSWORD.encode()):
                        answer = door.start(mechanism, initial)
                        want(answer.word == "tls", f"{protocol}: {mechanism}: {answer}")
                answer = play(door, "SCRAM-SHA-256", Scram("alice", PASSWORD).messages())
                want(answer.word == "yes", f"{protocol}: {answer}")
        with Door(gateway, "imap") as door:
            want("LOGINDISABLED" in door.ask("CAPABILITY")[0], "no LOGINDISABLED")
            want("PRIVACYREQUIRED" in door.ask(f"LOGIN alice {PASSWORD}")[-1], "LOGIN")
        with Door(gateway, "pop3") as door:
            want(door.ask("USER alice")[-1].startswith("-ERR no passwords"), "USER")


def only_what_is_named(build):
    with Gateway(build, users=users(), **options(["SCRAM-SHA-256"])) as gateway:
        for protocol in PROTOCOLS:
            with Door(gateway, protocol, tls=True) as door:
                want(door.offered() == ["SCRAM-SHA-256"], f"{protocol}: {door.offered()}")
                answer = door.start("PLAIN", b"\0alice\0" + PASSWORD.encode())
                want(answer.word == "unknown", f"{protocol}: PLAIN: {answer}")
                answer = door.start("CRAM-MD5")
                want(answer.word == "unknown", f"{protocol}: CRAM-MD5: {answer}")
                # Nothing was offered that binds, so nobody lied to this client.
                answer = play(door, "SCRAM-SHA-256", Scram("alice", PASSWORD, flag="y").messages())
                want(answer.word == "yes", f"{protocol}: {answer}")
        with Door(gateway, "imap", tls=True) as door:
            want("LOGINDISABLED" in door.ask("CAPABILITY")[0], "no LOGINDISABLED")
            want("CANNOT" in door.ask(f"LOGIN alice {PASSWORD}")[-1], "LOGIN")
        with Door(gateway, "pop3", tls=True) as door:
            want(door.ask("USER alice")[-1].startswith("-ERR passwords are not"), "USER")


def usual_ones(build):
    """Without an option, and an account file in which nobody has what SCRAM needs."""
    simple = f"alice@{DOMAIN}:{SHA512}:\n"
    with Gateway(build, users=simple, **options()) as gateway:
        with Door(gateway, "smtp", tls=True) as door:
            want(door.offered() == ["PLAIN", "LOGIN"], f"{door.offered()}")
        gateway.write("users", simple + f"carol@{DOMAIN}:{verifier(PASSWORD)}:\n")
        for _ in range(600):
            with Door(gateway, "smtp", tls=True) as door:
                if door.offered() == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"]:
                    return
        raise Failure(f"still {door.offered()}")


def wrong_names(build):
    """A name that no mechanism has is an error of the configuration, with the nearest one."""
    for protocol in PROTOCOLS:
        try:
            with Gateway(build, users=users(), **options(["SCRAM-SHA-265"])):
                raise Failure("it started")
        except GatewayError as error:
            want('there is no "SCRAM-SHA-265" (did you mean SCRAM-SHA-256' in str(error), str(error))
    for secret, words in ((f"{SHA512} {SHA512}", "two password hashes"),
                          (f"{verifier(PASSWORD)} {verifier('x')}", "two secrets of one kind"),
                          ("{SCRAM-SHA-256}1,a,b,c", "a secret is {SCRAM-SHA-256}"),
                          ("{SSHA}abc", "a secret is {SCRAM-SHA-256}"),
                          ("{PLAIN}", "a plain secret has"), ("{PLAIN.B64}!", "a plain secret has")):
        try:
            with Gateway(build, users=f"alice@{DOMAIN}:{secret}:\n", **options()):
                raise Failure(f"it started with {secret}")
        except GatewayError as error:
            want(words in str(error), f"{secret}: {error}")


# ---- policy ----

POLICY = """
on("auth.verify", function(session, attempt)
	log.info("asked: " .. attempt.mechanism .. " " .. attempt.identity .. " for " .. attempt.authorization)
	if attempt.identity == "bob@example.test" then return reject(535, "5.7.8", "not bob") end
	if attempt.identity == "carol@example.test" and attempt.authorization ~= "" then return accept() end
	if attempt.identity == "master@example.test" and attempt:secret_is("key") then return accept() end
end)
on("account.route", function(session)
	log.info("is: " .. session.identity)
end)
"""


def policy(build):
    """auth.verify is asked about every mechanism, before the modules; what it accepts may act for others."""
    with Gateway(build, users=users(), start=False, **options(ALL)) as gateway:
        path = gateway.write("policy.lua", POLICY)
        with open(gateway.config, "a", encoding="utf-8") as file:
            file.write(f'\npolicy {{ "{path}" }}\n')
        gateway.start()
        for mechanism in [name for name in ALL if "OAUTH" not in name]:
            with Door(gateway, "imap", tls=True) as door:
                if mechanism == "CRAM-MD5":
                    answer = cram_login(door, "bob", PASSWORD)
                else:
                    answer = play(door, mechanism, exchange_for(door, mechanism, "bob", PASSWORD))
                want(answer.line.endswith("not bob"), f"{mechanism}: {answer}")
        told = []
        for name, exchange, word, identity in (
                ("PLAIN", plain("alice", PASSWORD, "carol"), "wrong", None),
                ("PLAIN", plain("alice", PASSWORD, "alice@example.test"), "yes", "alice"),
                ("PLAIN", plain("master", "key", "alice"), "yes", "alice"),
                ("PLAIN", plain("master", "other", "alice"), "wrong", None),
                ("SCRAM-SHA-256", Scram("alice", PASSWORD, authorization="carol").messages(), "wrong",
                 None),
                ("SCRAM-SHA-256", Scram("alice", PASSWORD, authorization="alice").messages(), "yes",
                 "alice"),
                ("SCRAM-SHA-256", Scram("carol", PASSWORD, authorization="alice").messages(), "yes",
                 "alice"),
                # To accept is not to prove: there is no proof without the password.
                ("SCRAM-SHA-256", Scram("carol", "wrong", authorization="alice").messages(), "wrong",
                 None)):
            with Door(gateway, "imap", tls=True) as door:
                answer = play(door, name, exchange)
                want(answer.word == word, f"{name}: {answer}")
                if identity is not None:
                    door.ask("ID NIL")
                    told.append(f"{identity}@example.test")
        want(gateway.stop() is None, "the gateway stopped")
        with open(gateway.log, encoding="utf-8") as file:
            said = re.findall(r'"text":"is: ([^"]*)"', file.read())
        want(said == told, f"{said} logged in instead of {told}")


# ---- the throttle ----

def guess(gateway, source, name="alice", password="wrong", mechanism="PLAIN", protocol="imap"):
    with Door(gateway, protocol, tls=True, source=source) as door:
        if mechanism == "CRAM-MD5":
            return cram_login(door, name, password).word
        return play(door, mechanism, exchange_for(door, mechanism, name, password)).word


def throttle(build):
    """Guesses are counted over mechanisms, protocols and workers; the owner comes in."""
    settings = "counts_failed_logins_of_loopback = true"
    with Gateway(build, users=users(), **options(ALL, settings=settings)) as gateway:
        # The owner was here before.
        want(guess(gateway, "127.0.0.7", password=PASSWORD) == "yes", "the owner")
        # One address: three guesses at once, by whatever mechanism and protocol.
        words = [guess(gateway, "127.0.0.2", mechanism=mechanism, protocol=protocol)
                 for mechanism, protocol in (("PLAIN", "smtp"), ("SCRAM-SHA-256", "pop3"),
                                             ("CRAM-MD5", "imap"), ("LOGIN", "imap"),
                                             ("SCRAM-SHA-256-PLUS", "smtp"), ("PLAIN", "pop3"))]
        want(words[:3] == ["wrong"] * 3 and set(words[3:]) == {"later"}, f"one address: {words}")
        want(guess(gateway, "127.0.0.2", password=PASSWORD) == "later", "right, but too late")
        # From elsewhere nobody was locked out by that.
        want(guess(gateway, "127.0.0.3", password=PASSWORD) == "yes", "from another address")
        # Very many addresses at once.
        words = []
        lock = threading.Lock()

        def attack(first):
            for number in range(first, first + 25):
                word = guess(gateway, f"127.0.1.{number}")
                with lock:
                    words.append(word)

        threads = [threading.Thread(target=attack, args=(1 + 25 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        want(len(words) == 100 and set(words) <= {"wrong", "later"}, f"many addresses: {set(words)}")
        want(words.count("wrong") <= 10, f"many addresses: {words.count('wrong')} were judged")
        for source in ("127.0.0.7", "127.0.0.3"):
            want(guess(gateway, source, password=PASSWORD) == "yes", f"the owner from {source}")
        want(guess(gateway, "127.0.2.1", name="carol", password=PASSWORD) == "yes", "others")
        # One address, many accounts.
        words = [guess(gateway, "127.0.3.1", name=f"nobody{i}") for i in range(20)]
        want(words[:15] == ["wrong"] * 15 and set(words[16:]) == {"later"}, f"accounts: {words}")


def loopback_is_not_counted(gateway):
    words = {guess(gateway, None) for _ in range(12)}
    want(words == {"wrong"}, f"{words}")


# ---- running them ----

SHARED = [("offers", offers)]
SHARED += [(f"comes in by {name}", comes_in(name)) for name in ALL if "OAUTH" not in name]
SHARED += [(f"stays out by {name}", stays_out(name)) for name in ALL if "OAUTH" not in name]
SHARED += [("each with what it has", each_with_what_it_has),
           ("names are not told", names_are_not_told),
           ("binding to the channel", binding),
           ("binding to the channel of TLS 1.2", binding_of_old_tls),
           ("loopback is not counted", loopback_is_not_counted)]
SHARED += [(f"table of {name}", table(name)) for name in ALL if "OAUTH" not in name]


def table_of_tokens(build):
    """The same for what takes tokens, with a server of tokens that knows none."""
    with tokens.TokenServer() as server:
        module = (f'module "auth_oauth" {{ introspection_url = "{server.url}/", client_id = "post:ern", '
                  f'client_secret = "s e" }}')
        with Gateway(build, users=users(), **options(ALL, more=module)) as gateway:
            for name in ("OAUTHBEARER", "XOAUTH2"):
                table(name)(gateway)


OWN = [("the table is large enough", the_table_is_large_enough),
       ("names are not told after a start", names_are_not_told_after_a_start),
       ("secrets stay under TLS", secrets_stay_under_tls),
       ("only what is named", only_what_is_named), ("usual ones", usual_ones),
       ("wrong names", wrong_names), ("policy", policy), ("throttle", throttle)]
OWN += [("table of tokens", table_of_tokens)] + tokens.TESTS


def run(name, check, argument):
    try:
        check(argument)
    except (Failure, Wrong, GatewayError, OSError, AssertionError) as error:
        print(f"not ok {name}\n    {error}", flush=True)
        return 1
    print(f"ok {name}", flush=True)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("parts", nargs="*", metavar="NAME-PART")
    arguments = parser.parse_args()

    def wanted(tests):
        return [test for test in tests
                if not arguments.parts or any(part in test[0] for part in arguments.parts)]

    failed = 0
    if wanted(SHARED):
        try:
            with Gateway(arguments.build, users=users(), **options(ALL)) as gateway:
                failed += sum(run(name, check, gateway) for name, check in wanted(SHARED))
        except GatewayError as error:
            failed += 1
            print(f"not ok the gateway they share\n    {error}", flush=True)
    failed += sum(run(name, check, arguments.build) for name, check in wanted(OWN))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
