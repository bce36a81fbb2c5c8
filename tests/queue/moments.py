# SPDX-License-Identifier: Apache-2.0
"""When mail goes, what counts as an attempt, and what the record says of it. Run by run.py."""

import time

from base import TEXT, Base, check

RELEASE = """on("message.decide", function(session, message)
    message:set_release(tonumber(message:header("X-Release")))
end)
"""


class Moments(Base):
    def mail_is_released_at_its_moment(self):
        arrivals = {}
        peer = self.peer(lambda word, line: arrivals.setdefault(line, time.time()) and None if word == "RCPT" else None)
        gateway = self.gateway(peer, policy=RELEASE)
        begin = time.time() + 1.0
        # Their parts of a second differ: a look around once a second would be late for most.
        moments = [begin + 0.27 * number for number in range(8)]
        for number, moment in enumerate(moments):
            self.submit(gateway, [f"x{number}@example.net"], text=b"X-Release: %.3f\r\n" % moment + TEXT)
        check(len(peer.wait(len(moments))) == len(moments), f"{len(peer.messages)} came")
        late = [min(at for line, at in arrivals.items() if f"x{number}@" in line) - moment
                for number, moment in enumerate(moments)]
        check(min(late) > -0.05, f"one came early: {late}")
        check(sorted(late)[len(late) // 2] < 0.15, f"they came late: {late}")

    def what_reached_nobody_is_no_attempt(self):
        peer = self.peer(lambda word, line: "drop" if word == "connect" else None)
        gateway = self.gateway(peer, settings='retry_schedule = { "200ms" }\nsuspend_after = 2\n')
        self.submit(gateway, ["x@example.net"])
        row, = self.wait_rows(gateway, lambda rows: peer.connections >= 3, "it was not tried again")
        check(0 < row["attempts"] <= peer.connections, f"{row['attempts']} attempts, {peer.connections} connections")

    def the_record_names_the_port_that_was_used(self):
        peer = self.peer(lambda word, line: "451 4.3.0 not now" if word == "RCPT" else None)
        more = f'module "deliver_smtp" {{ as = "elsewhere", port = {peer.port} }}\n'
        policy = '''on("recipient.route", function(session, recipient)
            recipient:route{ transport = "elsewhere" } end)'''
        gateway = self.gateway(policy=policy, more=more, settings='zone_file = "zone"\n', start=False)
        gateway.write("zone", "example.net 300 IN MX 10 mx.example.net.\nmx.example.net 300 IN A 127.0.0.1\n")
        gateway.start()
        self.submit(gateway, ["x@example.net"])
        event = self.events(gateway, "delivery")[0]
        check(event["address"] == f"127.0.0.1:{peer.port}", f"the record says {event['address']}")
