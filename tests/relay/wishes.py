# SPDX-License-Identifier: Apache-2.0
"""Wishes of senders that the next server must know of, or the message is returned: REQUIRETLS (RFC 8689),
BINARYMIME (RFC 3030). Run by run.py."""

from world import BODY, SECONDS, check, test
from peer import USUAL

PROMISES = USUAL + ("REQUIRETLS",)
BINARY = b"Subject: a letter\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb\rc\0d\xff\r\n.\r\nRSET\r\nlast"


@test
def who_requires_tls_gets_it_all_the_way(world):
    peer = world.peer(secure=True, extensions=PROMISES)
    world.send_secured(f"promises.x@{peer.domain}", mail_options=["REQUIRETLS"])
    message = world.arrives(peer, f"promises.x@{peer.domain}")
    check(message.tls is not None and b"REQUIRETLS" in message.mail_parameters, peer.story())
    world.send_secured(f"promises.y@{peer.domain}")
    message = world.arrives(peer, f"promises.y@{peer.domain}")
    check(b"REQUIRETLS" not in message.mail_parameters, peer.story())


@test
def a_server_that_does_not_promise_tls_gets_nothing(world):
    peer = world.peer(secure=True)
    body = BODY + b"a secret\r\n"
    world.send_secured(f"promises.x@{peer.domain}", body=body, mail_options=["REQUIRETLS", "RET=FULL"])
    report = world.wait_bounce(f"promises.x@{peer.domain}", "5.7.30", "REQUIRETLS")
    check(not peer.messages and "a secret" not in report.as_string(), "it went, or came back, in the clear")


@test
def a_server_without_tls_gets_nothing_that_requires_it(world):
    peer = world.peer(extensions=PROMISES)
    world.send_secured(f"promises.x@{peer.domain}", mail_options=["REQUIRETLS"])
    world.wait_bounce(f"promises.x@{peer.domain}", "5.7.30")
    check(not any("MAIL" in line for lines in peer.dialogues for line in lines), peer.story())


@test
def a_name_that_dns_alone_vouches_for_is_not_enough(world):
    peer = world.peer(secure=True, extensions=PROMISES)
    world.send_secured(f"strict.x@{peer.domain}", mail_options=["REQUIRETLS"])
    world.wait_bounce(f"strict.x@{peer.domain}", "5.7.30", "vouches")
    check(not peer.messages, peer.story())


@test
def who_wants_no_tls_is_not_held_up_by_it(world):
    body = b"TLS-Required: No\r\n" + BODY
    peer = world.peer()
    for name in ("required", "private"):
        world.send(f"{name}.x@{peer.domain}", body=body)
        message = world.arrives(peer, f"{name}.x@{peer.domain}")
        check(message.tls is None, peer.story())
    gone = world.peer(rules={"rcpt": b"550 5.1.1 no\r\n"})
    world.send(f"required.x@{gone.domain}", body=body)
    report = world.wait_bounce(f"required.x@{gone.domain}", "5.1.1")
    check(report["TLS-Required"] == "No", report.as_string())
    # Said twice, or with REQUIRETLS, it says nothing.
    secure = world.peer(secure=True)
    world.send_secured(f"promises.z@{secure.domain}", body=body, mail_options=["REQUIRETLS"])
    world.wait_bounce(f"promises.z@{secure.domain}", "5.7.30")
    for twice in (b"TLS-Required: No\r\n" + body, b"TLS-Required: Yes\r\n" + BODY):
        world.send(f"required.y@{peer.domain}", body=twice)
        world.wait_row(f"required.y@{peer.domain}", "TLS")
        world.forget(f"required.y@{peer.domain}")


@test
def binary_goes_as_it_is_or_comes_back(world):
    peer = world.peer(extensions=USUAL + ("CHUNKING", "BINARYMIME"))
    world.send_chunk(f"one@{peer.domain}", BINARY)
    message = world.arrives(peer, f"one@{peer.domain}")
    check(message.is_chunk and message.data.endswith(BINARY), f"{message.data}")
    check(b"BODY=BINARYMIME" in message.mail_parameters, message.mail_parameters)
    large = BINARY + b"\0\n\r" * 700000
    world.send_chunk(f"two@{peer.domain}", large)
    check(world.arrives(peer, f"two@{peer.domain}", seconds=2 * SECONDS).data.endswith(large), "it is not what was sent")
    for extensions in (USUAL, USUAL + ("CHUNKING",), USUAL + ("BINARYMIME",)):
        lesser = world.peer(extensions=extensions)
        for name, body in (("one", BINARY), ("two", large)):
            world.send_chunk(f"{name}@{lesser.domain}", body)
            report = world.wait_bounce(f"{name}@{lesser.domain}", "5.6.3", "BINARYMIME")
            check(b"\0" not in report.as_bytes(), "a NUL in a report")
        check(not lesser.messages, lesser.story())
        plain = b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
        world.send_chunk(f"three@{lesser.domain}", plain)
        message = world.arrives(lesser, f"three@{lesser.domain}")
        check(message.data.endswith(plain) and not message.is_chunk, f"{message.data}")


@test
def chunks_carry_ordinary_mail_where_an_option_says_so(world):
    peer = world.peer(extensions=USUAL + ("CHUNKING",))
    for size in (0, 10, 300000, 1500000):
        body = BODY + b".\r\n..\r\n" + b"text in a line\r\n" * (size // 16)
        world.send(f"chunks.s{size}@{peer.domain}", body=body)
        message = world.arrives(peer, f"chunks.s{size}@{peer.domain}", seconds=2 * SECONDS)
        check(message.is_chunk and message.data.endswith(body), f"{size}: it is not what was sent")
