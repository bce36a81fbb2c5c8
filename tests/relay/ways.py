# SPDX-License-Identifier: Apache-2.0
"""Which host gets it: MX records, addresses and given hosts, in every order and number. Run by run.py."""

from world import ROUTES, SECONDS, ZONE, check, test
from peer import OK, Drop, Peer

# The best of 40 hosts stands at one end of the answer or the other, and nothing listens anywhere else.
for name, best in (("first", 1), ("last", 38)):
    ZONE += ["%s.test. 60 IN MX %d h%d.crowd.test." % (name, 5 if i == best else 10 + i, i) for i in range(40)]
ZONE += ["h%d.crowd.test. 60 IN A 127.2.1.%d" % (i, i + 1) for i in range(40)]
# We are one of its hosts: worse ones than we are not for us.
ZONE += ["backup.test. 60 IN MX 20 mx.example.test.", "backup.test. 60 IN MX 10 best.backup.test.",
         "backup.test. 60 IN MX 20 equal.backup.test.", "backup.test. 60 IN MX 30 worse.backup.test.",
         "best.backup.test. 60 IN A 127.2.2.1", "equal.backup.test. 60 IN A 127.2.2.2",
         "worse.backup.test. 60 IN A 127.2.2.3"]
ZONE += ["three.test. 60 IN MX 30 c.three.test.", "three.test. 60 IN MX 10 a.three.test.",
         "three.test. 60 IN MX 20 b.three.test.", "a.three.test. 60 IN A 127.2.3.1",
         "b.three.test. 60 IN A 127.2.3.2", "c.three.test. 60 IN A 127.2.3.3"]
# Seven hosts, and the records in another order than their preferences.
ZONE += [f"row.test. 60 IN MX {10 * (i + 1)} h{i}.row.test." for i in (3, 0, 6, 2, 5, 1, 4)]
ZONE += [f"h{i}.row.test. 60 IN A 127.2.10.{i + 1}" for i in range(7)]
ZONE += ["two2.test. 60 IN MX 10 a.two2.test.", "two2.test. 60 IN MX 20 b.two2.test.",
         "a.two2.test. 60 IN A 127.2.3.11", "b.two2.test. 60 IN A 127.2.3.12"]
ZONE += ["half.test. 60 IN MX 10 gone.half.test.", "half.test. 60 IN MX 20 there.half.test.",
         "there.half.test. 60 IN A 127.2.4.1"]
ZONE += ["xn--bcher-kva.test. 60 IN A 127.2.5.1"]
ZONE += ["many.test. 60 IN MX 10 mx.many.test."]
ZONE += ["mx.many.test. 60 IN A 127.2.6.%d" % (i + 1) for i in range(6)]
ZONE += ["mixed.test. 60 IN MX 0 .", "mixed.test. 60 IN MX 10 mx.mixed.test.", "mx.mixed.test. 60 IN A 127.2.7.1"]
ROUTES += ['hosts32 = {{ transport = "out", hosts = {{ %s }} }},' %
           ", ".join('"127.2.8.%d:{port}"' % (i + 1) for i in range(32)),
           'idn = {{ transport = "out", mx = "b\u00fccher.test" }},',
           'lmtp_tcp = {{ transport = "inside", hosts = {{ "127.2.9.1:{port}" }} }},',
           'elsewhere = {{ mx = "three.test" }},']


@test
def the_best_of_many_hosts_is_tried_first(world):
    for name, host in (("first", "127.2.1.2"), ("last", "127.2.1.39")):
        peer = world.at(host)
        world.send(f"one@{name}.test")
        world.arrives(peer, f"one@{name}.test")
        peer.close()


@test
def each_of_the_most_hosts_that_a_route_can_have_is_tried(world):
    peer = world.at("127.2.8.32")
    world.send("hosts32.x@any.test")
    world.arrives(peer, "hosts32.x@any.test", seconds=2 * SECONDS)
    peer.close()


@test
def hosts_that_are_worse_than_we_are_get_nothing(world):
    equal, worse = world.at("127.2.2.2"), world.at("127.2.2.3")
    world.send("one@backup.test")
    world.wait_row("one@backup.test", "best.backup.test")
    check(not equal.dialogues and not worse.dialogues, "it went past us")
    best = world.at("127.2.2.1")
    world.arrives(best, "one@backup.test")
    for peer in (equal, worse, best):
        peer.close()


@test
def hosts_are_tried_in_the_order_of_their_preferences(world):
    order = []

    def refuses(name):
        def rule(_step, _argument):
            order.append(name)
            return Drop(b"421 4.3.2 not now\r\n")
        return rule

    peers = [world.at(f"127.2.10.{i + 1}", rules={"connect": refuses(i)}) for i in range(6)]
    last = world.at("127.2.10.7")
    world.send("one@row.test")
    world.arrives(last, "one@row.test")
    check(order[:6] == [0, 1, 2, 3, 4, 5], f"{order}")
    for peer in peers + [last]:
        peer.close()


@test
def a_greeting_with_5xx_leads_to_the_next_host(world):
    a = world.at("127.2.3.1", rules={"connect": Drop(b"554 5.7.1 not you\r\n")})
    b = world.at("127.2.3.2")
    world.send("elsewhere.x@any.test")
    world.arrives(b, "elsewhere.x@any.test")
    check(a.dialogues, "the first was not tried")
    a.close()
    b.close()


@test
def a_refused_recipient_is_not_asked_for_elsewhere(world):
    a = world.at("127.2.3.11", rules={"rcpt": b"550 5.1.1 nobody\r\n"})
    b = world.at("127.2.3.12")
    world.send("five@two2.test")
    world.wait_bounce("five@two2.test", "550 5.1.1")
    check(not b.dialogues, "the second host was asked, too")
    a.close()
    b.close()


@test
def an_mx_without_an_address_does_not_stand_in_the_way(world):
    peer = world.at("127.2.4.1")
    world.send("one@half.test")
    world.arrives(peer, "one@half.test")
    peer.close()


@test
def one_address_of_a_host_that_answers_is_enough(world):
    peer = world.at("127.2.6.4")
    world.send("one@many.test")
    world.arrives(peer, "one@many.test", seconds=2 * SECONDS)
    peer.close()


@test
def a_null_mx_beside_others_is_not_believed(world):
    peer = world.at("127.2.7.1")
    world.send("one@mixed.test")
    world.arrives(peer, "one@mixed.test")
    peer.close()


@test
def a_domain_in_other_letters_is_its_own_host(world):
    peer = world.at("127.2.5.1")
    world.send("idn.x@any.test")
    world.arrives(peer, "idn.x@any.test")
    peer.close()


@test
def lmtp_goes_over_tcp_too(world):
    seen = []

    def rule(_step, recipient):
        seen.append(recipient)
        return b"550 5.2.1 off\r\n" if recipient.startswith("lmtp_tcp.never") else OK

    peer = world.add(Peer("127.2.9.1", world.port, lmtp=True, rules={"end": rule}))
    world.send("lmtp_tcp.now@any.test", "lmtp_tcp.never@any.test", "lmtp_tcp.also@any.test")
    world.wait_bounce("lmtp_tcp.never@any.test", "550 5.2.1")
    world.arrives(peer, "lmtp_tcp.now@any.test", "lmtp_tcp.also@any.test")
    check(len(seen) == 3 and len(peer.messages) == 1, peer.story())
    peer.close()
