#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sending to servers that misbehave; prints "ok NAME", "not ok NAME" or "skipped: NAME".

    tests/relay/run.py --build DIR [NAME-PART …]
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile

from world import BODY, HERE, PATIENCE, SECONDS, Failure, Skipped, check, main, program, test, wait_port
from peer import OK, Bad, Drop, Part, Peer, Silent, Slow, Stall, USUAL
import ways  # noqa: F401  (its tests are run with these)
import wishes  # noqa: F401
import wire  # noqa: F401

# ---- the envelope ----


@test
def mail_arrives_as_it_was_sent(world):
    peer = world.peer()
    world.send(f"one@{peer.domain}", f"two@{peer.domain}")
    message = world.arrives(peer, f"one@{peer.domain}", f"two@{peer.domain}")
    check(message.data.endswith(BODY), message.data)
    check(message.sender == b"alice@example.test", message.sender)
    check(message.mail_parameters.startswith(b"SIZE="), message.mail_parameters)
    check(len(peer.messages) == 1, "one transaction is enough for both")
    check(message.is_flight, "the envelope was not one flight")


@test
def without_pipelining_commands_wait_for_answers(world):
    peer = world.peer(extensions=("8BITMIME",))
    world.send(f"one@{peer.domain}")
    world.arrives(peer, f"one@{peer.domain}")
    lines = peer.dialogues[0]
    check(all(a[0] != b[0] for a, b in zip(lines, lines[1:]) if not b.startswith("< 250")),
          "\n".join(lines))


@test
def a_server_that_knows_only_helo_gets_mail(world):
    peer = world.peer(rules={"ehlo": b"500 5.5.1 what?\r\n"})
    world.send(f"one@{peer.domain}")
    world.arrives(peer, f"one@{peer.domain}")
    check("> HELO mx.example.test" in peer.dialogues[0], peer.story())


@test
def many_messages_share_connections(world):
    peer = world.peer()
    names = [f"n{number}@{peer.domain}" for number in range(30)]
    for name in names:
        world.send(name)
    peer.wait(30)
    world.arrives(peer, *names)
    check(len(peer.dialogues) <= 20, f"{len(peer.dialogues)} connections for 30 messages")


@test
def large_messages_pass(world):
    peer = world.peer()
    line = b"." * 70 + b"\r\n"
    body = BODY + line * (6 * 1024 * 1024 // len(line))
    world.send(f"one@{peer.domain}", body=body)
    message = world.arrives(peer, f"one@{peer.domain}", seconds=2 * SECONDS)
    check(message.data.endswith(body), "it is not what was sent")


@test
def eight_bit_is_declared_or_sent_as_it_is(world):
    eight = "Subject: \r\n\r\nGrüße\r\n".encode()
    peer = world.peer()
    world.send(f"one@{peer.domain}", body=eight)
    message = world.arrives(peer, f"one@{peer.domain}")
    check(b"BODY=8BITMIME" in message.mail_parameters, message.mail_parameters)
    peer = world.peer(extensions=("PIPELINING",))
    world.send(f"one@{peer.domain}", body=eight)
    message = world.arrives(peer, f"one@{peer.domain}")
    check(b"BODY" not in message.mail_parameters and "Grüße".encode() in message.data, message.data)
    world.send(f"eight.x@{peer.domain}", body=eight)
    world.wait_bounce(f"eight.x@{peer.domain}", "5.6.3")


@test
def dsn_parameters_are_passed_on(world):
    options = dict(mail_options=["RET=HDRS", "ENVID=q1"],
                   rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;one@x.test"])
    peer = world.peer(extensions=USUAL + ("DSN",))
    world.send(f"one@{peer.domain}", **options)
    message = world.arrives(peer, f"one@{peer.domain}")
    check(b"RET=HDRS ENVID=q1" in message.mail_parameters, message.mail_parameters)
    check(message.rcpt_parameters == [b"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;one@x.test"],
          message.rcpt_parameters)
    check(not world.bounces(f"one@{peer.domain}"), "the report is the next server's duty")
    peer = world.peer()
    world.send(f"one@{peer.domain}", **options)
    message = world.arrives(peer, f"one@{peer.domain}")
    check(b"RET" not in message.mail_parameters and message.rcpt_parameters == [b""],
          message.mail_parameters)
    world.wait_bounce(f"one@{peer.domain}", "Action: relayed")


@test
def a_message_above_the_servers_size_is_returned_untried(world):
    peer = world.peer(extensions=("PIPELINING", "SIZE 100"))
    world.send(f"one@{peer.domain}")
    world.wait_bounce(f"one@{peer.domain}", "5.3.4")
    check(not any("MAIL" in line for lines in peer.dialogues for line in lines), peer.story())


# ---- refusals ----


@test
def a_greeting_with_554_is_not_about_the_mail(world):
    peer = world.peer(rules={"connect": Drop(b"554 5.7.1 go away\r\n")})
    world.send(f"one@{peer.domain}")
    world.wait_row(f"one@{peer.domain}", "554 5.7.1 go away")
    peer.rules = {}
    world.arrives(peer, f"one@{peer.domain}")


@test
def a_storm_of_421_passes(world):
    busy = Drop(b"421 4.3.2 too busy\r\n")
    peers = [world.peer(rules={"connect": [busy] * 3 + [OK]})]
    peers += [world.peer(rules={step: [busy, OK]}) for step in ("ehlo", "mail", "rcpt", "data", "end")]
    for peer in peers:
        world.send(f"one@{peer.domain}")
    for peer in peers:
        world.arrives(peer, f"one@{peer.domain}", seconds=2 * SECONDS)


@test
def some_recipients_now_some_later_some_never(world):
    seen = []

    def rule(_step, argument):
        if b"<later" in argument and b"later" not in seen:
            seen.append(b"later")
            return b"450 4.2.1 later\r\n"
        return b"550 5.1.1 no such user\r\n" if b"<never" in argument else OK

    peer = world.peer(rules={"rcpt": rule})
    names = [f"{name}@{peer.domain}" for name in ("now", "later", "never", "also")]
    world.send(*names)
    world.wait_bounce(names[2], "550 5.1.1", "no such user")
    world.arrives(peer, names[0], names[1], names[3])
    check(len(peer.messages) == 2, peer.story())


@test
def refused_by_all_and_still_asked_for_data(world):
    peer = world.peer(rules={"rcpt": [b"550 5.1.1 no\r\n", OK],
                             "empty-data": Silent()})
    world.send(f"gone@{peer.domain}")
    world.wait_bounce(f"gone@{peer.domain}", "5.1.1")
    world.send(f"there@{peer.domain}")
    world.arrives(peer, f"there@{peer.domain}")
    check(any("< 250 2.0.0 nothing" == line for lines in peer.dialogues for line in lines),
          peer.story())


@test
def a_refused_message_is_returned(world):
    peer = world.peer(rules={"end": b"550-5.7.1 this is\r\n550 5.7.1 spam\r\n"})
    world.send(f"one@{peer.domain}")
    world.wait_bounce(f"one@{peer.domain}", "550", "5.7.1", "this is spam")


# ---- lost connections ----


@test
def connections_that_break_at_any_step_lose_and_double_nothing(world):
    peers = []
    for step in ("connect", "ehlo", "mail", "rcpt", "data", "end"):
        for reset in (False, True):
            peer = world.peer(rules={step: [Drop(reset=reset), OK]})
            peers.append((step, peer))
            world.send(f"one@{peer.domain}")
    for step, peer in peers:
        try:
            world.arrives(peer, f"one@{peer.domain}", seconds=2 * SECONDS)
        except Failure as failure:
            raise Failure(f"at {step}: {failure}") from failure


@test
def a_250_and_then_a_reset_counts_once(world):
    peer = world.peer(rules={"end": Drop(b"250 2.0.0 taken\r\n", reset=True)})
    world.send(f"one@{peer.domain}")
    world.is_gone(f"one@{peer.domain}")
    world.send(f"two@{peer.domain}")
    world.is_gone(f"two@{peer.domain}")
    data = [line for lines in peer.dialogues for line in lines if line == "> DATA"]
    check(len(data) == 2, peer.story())


@test
def a_server_that_goes_in_the_middle_gets_it_again(world):
    peer = world.peer(rules={"data": [Part(100000), OK]})
    body = BODY + b"some text\r\n" * 200000
    world.send(f"one@{peer.domain}", body=body)
    message = world.arrives(peer, f"one@{peer.domain}", seconds=2 * SECONDS)
    check(message.data.endswith(body), "it is not what was sent")


@test
def silence_at_any_step_has_an_end(world):
    peers = []
    for step in ("connect", "ehlo", "mail", "rcpt", "data", "end"):
        peer = world.peer(rules={step: [Silent(), OK]})
        peers.append(peer)
        world.send(f"one@{peer.domain}")
    for peer in peers:
        world.arrives(peer, f"one@{peer.domain}", seconds=2 * SECONDS)


@test
def a_server_that_stops_reading_is_left(world):
    # What the kernel would take for a peer that does not read is made small, so that all of it is soon full.
    peer = world.peer(rules={"data": [Stall(100000), OK]}, receive_buffer=65536)
    body = BODY + b"some text in a line\r\n" * 400000
    world.send(f"one@{peer.domain}", body=body)
    message = world.arrives(peer, f"one@{peer.domain}", seconds=2 * SECONDS)
    check(message.data.endswith(body) and len(peer.dialogues) == 2, peer.story())


@test
def a_tarpit_has_an_end(world):
    peers = [world.peer(rules={"connect": [Slow(b"220 mx.tarpit.test ESMTP\r\n", PATIENCE / 3), OK]}),
             world.peer(rules={"end": [Slow(b"250-a\r\n250-b\r\n250-c\r\n250 d\r\n", PATIENCE / 7), OK]})]
    for peer in peers:
        world.send(f"one@{peer.domain}")
    for peer in peers:
        world.arrives(peer, f"one@{peer.domain}", seconds=2 * SECONDS)
        check(len(peer.dialogues) == 2, peer.story())


# ---- answers that are none ----


@test
def long_answers_are_taken_and_endless_ones_are_not(world):
    lines = b"".join(b"250-line %d\r\n" % number for number in range(98))
    text = b"250-" + b"x" * 4000 + b"\r\n250 ok\r\n"
    peer = world.peer(rules={"ehlo": lines + b"250 end\r\n", "mail": text, "end": OK})
    world.send(f"one@{peer.domain}")
    world.arrives(peer, f"one@{peer.domain}")
    for bad in (b"250-line\r\n" * 101 + b"250 end\r\n", b"250 " + b"x" * 5000 + b"\r\n"):
        peer = world.peer(rules={"ehlo": [bad, OK]})
        world.send(f"one@{peer.domain}")
        world.arrives(peer, f"one@{peer.domain}")


@test
def bad_line_ends_and_nonsense_are_no_answers(world):
    for bad in (b"250 ok\n", b"250 ok\r250 ok\r\n", b"250 \0\r\n", b"hello\r\n",
                b"250-a\r\n251 b\r\n"):
        peer = world.peer(rules={"end": [Bad(bad), OK]})
        world.send(f"one@{peer.domain}")
        world.arrives(peer, f"one@{peer.domain}")
        check(len([line for lines in peer.dialogues for line in lines if line == "> DATA"]) == 2,
              f"{bad}: {peer.story()}")


# ---- TLS ----


@test
def opportunistic_takes_what_there_is(world):
    peer = world.peer(secure=True)
    world.send(f"one@{peer.domain}")
    message = world.arrives(peer, f"one@{peer.domain}")
    check(message.tls == "TLSv1.3", f"{message.tls}\n{peer.story()}")
    world.send(f"never.x@{peer.domain}")
    message = world.arrives(peer, f"never.x@{peer.domain}")
    check(message.tls is None, "TLS although the route says never")


@test
def tls_sessions_are_resumed(world):
    peer = world.peer(secure=True, rules={"end": Drop(b"250 2.0.0 taken\r\n")})
    for number in range(2):
        world.send(f"n{number}@{peer.domain}")
        world.is_gone(f"n{number}@{peer.domain}")
    check(peer.resumed == [False, True], f"{peer.resumed}\n{peer.story()}")


@test
def opportunistic_goes_on_where_tls_is_refused_or_broken(world):
    peer = world.peer(secure=True, rules={"starttls": b"454 4.7.0 not now\r\n"})
    world.send(f"one@{peer.domain}")
    check(world.arrives(peer, f"one@{peer.domain}").tls is None, "there is no TLS")
    peer = world.peer(secure=True, rules={"starttls": Drop(b"220 go\r\n")})
    world.send(f"one@{peer.domain}")
    check(world.arrives(peer, f"one@{peer.domain}").tls is None, "there is no TLS")
    peer = world.peer(secure=True, rules={"starttls": Drop(b"220 go\r\n250 injected\r\n")})
    world.send(f"one@{peer.domain}")
    world.wait_row(f"one@{peer.domain}", "TLS")
    check(not peer.messages, "injected bytes led to mail in the clear")
    world.forget(f"one@{peer.domain}")


@test
def required_does_without_nothing(world):
    peer = world.peer()
    name = f"required.x@{peer.domain}"
    world.send(name)
    world.wait_row(name, "TLS")
    check(not peer.messages, peer.story())
    world.forget(name)
    peer = world.peer(secure=True)
    name = f"required.x@{peer.domain}"
    world.send(name)
    check(world.arrives(peer, name).tls is not None, "without TLS")


@test
def verified_wants_a_certificate_that_is_good(world):
    good = world.peer(secure=True)
    world.send(f"private.x@{good.domain}")
    check(world.arrives(good, f"private.x@{good.domain}").tls is not None, "without TLS")
    number = world.used
    bad = {"of another name": world.authority.make("mx.elsewhere.test"),
           "expired": world.authority.make(f"mx.d{number + 1}.test", -1)}
    for what, certificate in bad.items():
        peer = world.peer(certificate=certificate, rules={"end": [Drop(b"250 taken\r\n"), OK]})
        # The session of who does not look must not serve who does.
        world.send(f"one@{peer.domain}")
        world.is_gone(f"one@{peer.domain}")
        name = f"private.x@{peer.domain}"
        world.send(name)
        world.wait_row(name, "certificate")
        check(not peer.messages and peer.tls_errors, f"a certificate {what} was taken")
        world.forget(name)
    # Good, but of an authority that nobody knows.
    world.send(f"verified.x@{good.domain}")
    world.wait_row(f"verified.x@{good.domain}", "certificate")
    check(len(good.messages) == 1, "the system does not know this authority")
    world.forget(f"verified.x@{good.domain}")


@test
def addresses_are_verified_too(world):
    certificate = world.authority.make("127.1.205.1", kind="IP")
    peer = world.at("127.1.205.1", certificate=certificate)
    world.send("address.x@any.test")
    check(world.arrives(peer, "address.x@any.test").tls is not None, "without TLS")
    other = world.at("127.1.205.2", certificate=certificate)
    world.send("other.x@any.test")
    world.wait_row("other.x@any.test", "certificate")
    check(not other.messages, "the certificate is for another address")
    world.forget("other.x@any.test")


@test
def tls_at_once_is_an_option(world):
    peer = world.at("127.1.204.1", certificate=world.authority.make("mx.at-once.test"),
                    implicit=True)
    world.send("at_once.x@any.test")
    check(world.arrives(peer, "at_once.x@any.test").tls is not None, "without TLS")


# ---- logging in ----


@test
def a_smarthost_is_logged_in_to(world):
    peer = world.at("127.1.203.1", certificate=world.authority.make("mx.smart.test"),
                    logins={"relay": "correct horse"})
    world.send("smarthost.a@any.test")
    message = world.arrives(peer, "smarthost.a@any.test")
    check(message.login == "relay" and message.tls is not None, peer.story())
    peer.mechanisms = "LOGIN"
    world.send("wrong.x@any.test")
    world.wait_row("wrong.x@any.test", "535")
    with open(world.gateway.log, encoding="utf-8") as file:
        log = file.read()
    check("AUTH PLAIN ****" in log, "the login is not in the history")
    for secret in ("correct horse", base64.b64encode(b"\0relay\0correct horse").decode(),
                   base64.b64encode(b"battery staple").decode()):
        check(secret not in log, f"the history holds {secret}")
    # Passwords are read anew at a reload.
    with open(os.path.join(world.temporary, "credentials.wrong"), "w", encoding="ascii") as file:
        file.write("* relay correct horse\n")
    world.command("reload")
    world.arrives(peer, "wrong.x@any.test")
    peer.close()


# ---- LMTP ----


@test
def lmtp_answers_for_each(world):
    later = []

    def rule(_step, recipient):
        if recipient.startswith("lmtp.later") and not later:
            later.append(recipient)
            return b"452 4.2.2 full\r\n"
        return b"550 5.2.1 off\r\n" if recipient.startswith("lmtp.never") else OK

    peer = world.add(Peer(path=os.path.join(world.gateway.directory, "lmtp"), lmtp=True,
                          rules={"end": rule}))
    names = [f"lmtp.{name}@inside.test" for name in ("now", "later", "never", "also")]
    world.send(*names)
    world.wait_bounce(names[2], "550 5.2.1")
    world.arrives(peer, names[0], names[1], names[3], seconds=2 * SECONDS)
    check(any("> LHLO" in line for line in peer.dialogues[0]), peer.story())


# ---- where to ----


@test
def the_second_host_gets_what_the_first_cannot_take(world):
    peer = world.at("127.1.200.2")
    world.send("one@two.test")
    world.arrives(peer, "one@two.test")


@test
def a_first_host_that_is_full_leaves_it_to_the_second(world):
    first = world.at("127.1.200.1", rules={"connect": Drop(b"421 4.3.2 full\r\n")})
    second = next(peer for peer in world.peers if peer.host == "127.1.200.2")
    world.send("two@two.test")
    world.arrives(second, "two@two.test", seconds=2 * SECONDS)
    first.close()


@test
def a_domain_without_mx_is_its_own_host(world):
    peer = world.at("127.1.201.1")
    world.send("one@bare.test")
    world.arrives(peer, "one@bare.test")


@test
def a_null_mx_returns_the_mail(world):
    world.send("one@none.test")
    world.wait_bounce("one@none.test", "5.1.10")


@test
def hosts_with_ipv6_are_reached(world):
    if not os.path.exists("/proc/net/if_inet6") or not open("/proc/net/if_inet6").read():
        raise Skipped("there is no IPv6 here")
    peer = world.at("::1")
    world.send("one@six.test", "six.x@any.test")
    world.arrives(peer, "one@six.test", "six.x@any.test")
    peer.close()
    four = world.at("127.1.202.1")
    world.send("one@both.test")
    world.arrives(four, "one@both.test")


@test
def the_first_of_some_hosts_that_can_be_reached_gets_it(world):
    peer = world.at("127.1.250.1")
    world.send("hosts.x@any.test")
    world.arrives(peer, "hosts.x@any.test")


@test
def mail_waits_for_a_host_that_is_down(world):
    peer = world.peer(listens=False)
    world.send(f"one@{peer.domain}")
    world.wait_row(f"one@{peer.domain}", "refused")
    peer.listen()
    world.arrives(peer, f"one@{peer.domain}")


@test
def routes_say_where_connections_come_from(world):
    peer = world.peer()
    world.send(f"source.x@{peer.domain}")
    world.arrives(peer, f"source.x@{peer.domain}")
    check(peer.addresses[-1] == "127.9.8.7", peer.addresses)


# ---- other people's servers ----


@test
def smtp_sink_of_postfix_gets_all(world):
    # It does not run as root: the folder is for whomever it runs as.
    folder = tempfile.mkdtemp(prefix="postern-sink-")
    os.chmod(folder, 0o777)
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    sink = subprocess.Popen([program("smtp-sink"), *user, "-d", os.path.join(folder, "sink."),
                             f"127.0.0.1:{world.sink_port}", "100"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_port(world.sink_port)
        names = [f"sink.{number}@any.test" for number in range(50)]
        for start in range(0, 50, 5):
            world.send(*names[start:start + 5])
        for name in names:
            world.is_gone(name)
    finally:
        sink.terminate()
        sink.wait(10)
    texts = []
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            texts.append(file.read())
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        found = sum(f"X-Rcpt-Args: <{name}>" in text for text in texts)
        check(found == 1, f"{name} came {found} times in {len(texts)} messages")


@test
def npm_smtp_server_misbehaves(world):
    node, npm = program("node"), program("npm")
    folder = os.path.join(world.temporary, "npm")
    os.mkdir(folder)
    done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts",
                           "--prefix", folder, "smtp-server@3.13.6"], capture_output=True, text=True,
                          timeout=120)
    if done.returncode != 0:
        raise Skipped("npm could not install smtp-server: " + done.stderr[-300:])
    server = subprocess.Popen([node, os.path.join(HERE, "sink.js"), str(world.sink_port)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")})
    try:
        check(server.stdout.readline().strip() == "ready", "it did not start")
        kinds = ("plain", "later", "never", "drop", "reset", "stall", "busy", "storm", "tarpit", "long", "ends")
        names = {kind: f"sink.{kind}@any.test" for kind in kinds}
        for name in names.values():
            world.send(name)
        world.wait_bounce(names["never"], "550", "never here")
        for kind in kinds:
            if kind != "never":
                world.is_gone(names[kind], seconds=2 * SECONDS)
        server.stdin.close()
        taken = json.loads(server.stdout.read())
        for kind in kinds:
            expected = 0 if kind == "never" else 1
            check(taken.get(names[kind], 0) == expected, f"{kind}: {taken}")
    finally:
        server.kill()
        server.wait(10)


if __name__ == "__main__":
    sys.exit(main())
