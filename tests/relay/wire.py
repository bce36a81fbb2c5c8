# SPDX-License-Identifier: Apache-2.0
"""What goes over the wire where servers are difficult: limits, early answers, what is said at the wrong
moment, bodies that are hard to send. Run by run.py."""

import json
import smtplib

from world import BODY, SECONDS, check, test
from peer import OK, Bad, Clear, Drop, Part, USUAL


def most_recipients(count, words):
    """A rule for RCPT: so many in a transaction, and these words for the others."""
    taken = []

    def rule(_step, argument):
        if len(taken) == count:
            return words
        taken.append(argument)
        return OK

    def end(_step, _recipients):
        taken.clear()
        return OK
    return {"rcpt": rule, "end": end}


@test
def too_many_recipients_go_with_the_next_transaction_at_once(world):
    for words in (b"452 4.5.3 too many\r\n", b"452 too many\r\n", b"552 5.5.3 too many\r\n"):
        peer = world.peer(rules=most_recipients(3, words))
        names = [f"r{number}@{peer.domain}" for number in range(10)]
        world.send(*names)
        world.arrives(peer, *names)
        check([len(message.recipients) for message in peer.messages] == [3, 3, 3, 1], peer.story())


@test
def an_answer_in_the_middle_of_the_message_is_heard(world):
    peer = world.peer(rules={"data": Part(100000, b"552 5.3.4 that is too much\r\n")})
    body = BODY + b"some text in a line\r\n" * 400000
    world.send(f"one@{peer.domain}", body=body)
    world.wait_bounce(f"one@{peer.domain}", "552", "too much", seconds=2 * SECONDS)


@test
def a_421_between_messages_costs_nothing(world):
    peer = world.peer(rules={"end": Drop(b"250 2.0.0 taken\r\n421 4.4.2 good bye\r\n")})
    for number in range(3):
        world.send(f"n{number}@{peer.domain}")
        world.is_gone(f"n{number}@{peer.domain}")
    data = [line for lines in peer.dialogues for line in lines if line == "> DATA"]
    check(len(data) == 3, peer.story())


@test
def a_refused_transaction_does_not_colour_the_next(world):
    peer = world.peer(rules={"data": [b"451 4.3.0 not this time\r\n", OK]})
    world.send(f"one@{peer.domain}")
    world.arrives(peer, f"one@{peer.domain}")
    peer = world.peer(rules={"mail": [b"550 5.1.8 not from you\r\n", OK]})
    world.send(f"one@{peer.domain}")
    world.wait_bounce(f"one@{peer.domain}", "5.1.8")
    world.send(f"two@{peer.domain}")
    world.arrives(peer, f"two@{peer.domain}")


@test
def bodies_are_stuffed_wherever_they_are_cut(world):
    peer = world.peer()
    for size in (4094, 4095, 4096, 65534, 65535, 65536, 65537, 262143, 262144, 262145, 1048575, 1048577):
        # Dots at line starts all over, shifted by one byte from size to size.
        text = BODY[:-2] + b"x" * (size % 7) + b"\r\n"
        body = (text + (b".\r\n..\r\n.x\r\n\r\n" * (size // 13 + 1)))[:size - 3] + b"x\r\n"
        body = body.replace(b"\r\nx\r\n", b"\r\ny\r\n") if b"\rx" not in body else \
            body.replace(b"\rx\r\n", b"\r\n\r\n")
        world.send(f"s{size}@{peer.domain}", body=body)
        message = world.arrives(peer, f"s{size}@{peer.domain}", seconds=2 * SECONDS)
        check(message.data.endswith(body), f"{size}: it is not what was sent")


@test
def long_lines_pass_as_they_are(world):
    peer = world.peer()
    body = BODY + b"y" * 998 + b"\r\n" + b"z" * 999 + b"\r\n" + b"." * 5000 + b"\r\n"
    world.send(f"one@{peer.domain}", body=body)
    message = world.arrives(peer, f"one@{peer.domain}")
    check(message.data.endswith(body), message.data[-200:])


@test
def a_server_that_loses_what_was_pipelined_loses_no_mail(world):
    peer = world.peer(extensions=USUAL)
    peer.forgets = True
    world.send(f"one@{peer.domain}")
    world.wait_row(f"one@{peer.domain}", "in time")
    peer.forgets = False
    world.arrives(peer, f"one@{peer.domain}")


@test
def words_of_a_server_stay_words(world):
    words = (b"550-5.1.1 no\x1b]0;title\x07 \xff\xfe\xe2\x80\xa8 \"quotes\" \\ <b> %s%n\r\n"
             b"550-5.1.1 Subject: injected\r\n550 5.1.1 --boundary-- " + b"\xc3\xbc" * 300 + b"\r\n")
    peer = world.peer(rules={"rcpt": words})
    world.send(f"one@{peer.domain}")
    message = world.wait_bounce(f"one@{peer.domain}", "5.1.1")
    check(message.get_content_type() == "multipart/report" and len(list(message.iter_parts())) == 3,
          message.as_string())
    check("injected" not in (message["Subject"] or "") and len(message.get_all("Subject")) == 1, "a field was injected")
    raw = message.as_bytes()
    check(b"\x1b" not in raw and b"\x07" not in raw and b"\xff" not in raw, raw)
    check(all(len(line) <= 998 for line in raw.split(b"\n")), "a line is too long")
    status = list(message.iter_parts())[1].get_payload()[1]
    check(status["Diagnostic-Code"].startswith("smtp; 550 5.1.1"), str(status))
    with open(world.gateway.log, "rb") as file:
        lines = [line for line in file.read().split(b"\n") if line.startswith(b"{")]
    check(any(b"quotes" in line for line in lines), "the log does not tell of it")
    for line in lines:
        json.loads(line)
        check(b"\x1b" not in line and b"\x07" not in line, line)


@test
def a_server_that_answers_tls_with_noise_gets_it_in_the_clear(world):
    peer = world.peer(secure=True, rules={"starttls": [Bad(b"220 go ahead\r\n"), OK]})
    world.send(f"one@{peer.domain}")
    peer.wait(1)
    peer.problems.clear()  # the handshake is no command
    message = world.arrives(peer, f"one@{peer.domain}")
    check(message.tls is None and len(peer.dialogues) == 2, peer.story())
    peer = world.peer(secure=True, rules={"starttls": [Bad(b"220 go ahead\r\n"), OK]})
    world.send(f"required.x@{peer.domain}")
    peer.wait(1)
    peer.problems.clear()
    message = world.arrives(peer, f"required.x@{peer.domain}")
    check(message.tls is not None, "in the clear, where TLS is required")


@test
def a_server_that_never_offers_what_the_message_needs_is_told_nothing_else(world):
    peer = world.peer(extensions=())
    world.send(f"one@{peer.domain}", mail_options=["BODY=8BITMIME", "RET=FULL", "ENVID=x"],
               rcpt_options=["NOTIFY=FAILURE"])
    message = world.arrives(peer, f"one@{peer.domain}")
    check(message.mail_parameters == b"" and message.rcpt_parameters == [b""], peer.story())


@test
def what_is_said_in_the_clear_when_tls_has_ended_is_not_heard(world):
    answers = {"mail": b"250 2.1.0 sender\r\n", "rcpt": b"250 2.1.5 recipient\r\n", "data": b"354 go ahead\r\n",
               "end": b"250 2.0.0 taken\r\n"}
    for step, words in [*answers.items(), ("end", b"550 5.7.1 no\r\n")]:
        peer = world.peer(secure=True, rules={step: [Clear(words), OK]})
        world.send(f"required.x@{peer.domain}")
        message = world.arrives(peer, f"required.x@{peer.domain}")
        check(message.tls is not None and len(peer.dialogues) >= 2, peer.story())
        check(not world.bounces(f"required.x@{peer.domain}"), "what was said in the clear was believed")


@test
def what_a_server_offered_before_tls_does_not_count_after_it(world):
    seen = []

    def hello(_step, _argument):
        seen.append(True)
        if len(seen) == 1:
            return b"250-mx\r\n250-STARTTLS\r\n250-SIZE 10\r\n250-PIPELINING\r\n250 DSN\r\n"
        return b"250 mx\r\n"

    peer = world.peer(secure=True, rules={"ehlo": hello})
    world.send(f"one@{peer.domain}", mail_options=["RET=FULL"])
    message = world.arrives(peer, f"one@{peer.domain}")
    check(message.tls is not None and message.mail_parameters == b"" and not message.is_flight, peer.story())


@test
def odd_addresses_go_as_they_came(world):
    peer = world.peer()
    names = ['"a b"', '"x\\"y"', '"semi;colon"', "o'brien+tag=1", '"..dots.."', "a" * 64]
    with smtplib.SMTP("127.0.0.1", world.gateway.ports["submission"]) as client:
        client.ehlo("client.test")
        client.login("alice", "postern")
        check(client.docmd("MAIL FROM:<alice@example.test>")[0] == 250, "MAIL")
        for name in names:
            reply = client.docmd(f"RCPT TO:<{name}@{peer.domain}>")
            check(reply[0] == 250, f"{name}: {reply}")
        check(client.data(BODY)[0] == 250, "DATA")
    peer.wait(1)
    said = [line[2:] for lines in peer.dialogues for line in lines if line.startswith("> RCPT")]
    check(said == [f"RCPT TO:<{name}@{peer.domain}>" for name in names], f"{said}")
