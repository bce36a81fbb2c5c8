# SPDX-License-Identifier: Apache-2.0
"""What policies decide about mail on its way, at each stage and with each verdict. Run by run.py."""

from base import Base, check

FIRST = "451 4.3.0 later"


class Hooks(Base):
    def _with(self, policy, *answers, **options):
        """A gateway with a policy, and a peer that gives these answers to RCPT, one after the other, then takes all."""
        left = list(answers)
        peer = self.peer(lambda word, line: left.pop(0) if word == "RCPT" and left else None)
        gateway = self.gateway(peer, policy=policy, **options)
        self.submit(gateway, ["x@example.net"])
        return gateway, peer

    def _held(self, gateway):
        row, = self.wait_rows(gateway, lambda rows: rows and rows[0]["state"] == "held", "held")
        return row

    def a_start_can_be_refused(self):
        gateway, peer = self._with('''on("delivery.start", function(_, delivery, recipient)
            if delivery.attempts ~= 1 or recipient.address ~= "x@example.net" then error("what?") end
            return reject(550, "5.7.1", "not today") end)''')
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Status"] == "5.7.1" and "not today" in str(fields), f"{fields}")
        self.wait_empty(gateway)
        check(not peer.connections, "it was tried")

    def a_start_can_be_put_off_and_held(self):
        gateway, peer = self._with('''on("delivery.start", function(_, delivery)
            if delivery.attempts == 1 then return defer(451, "4.7.0", "not yet") end
            if delivery.attempts == 2 and delivery.last_reason:find("not yet") then return hold() end end)''')
        row = self._held(gateway)
        check(not peer.connections and row["attempts"] == 2, f"{row}")
        self.command(gateway, "queue", "release", "--state", "held")
        check(len(peer.wait(1)) == 1, "released, and not delivered")
        self.wait_empty(gateway)

    def some_of_a_message_can_be_kept_back(self):
        peer = self.peer()
        gateway = self.gateway(peer, policy='''on("delivery.start", function(_, delivery, recipient)
            if recipient.local_part == "no" then return reject(550, "5.7.1", "not him") end
            if recipient.local_part == "later" and delivery.attempts == 1 then return defer() end end)''')
        self.submit(gateway, ["yes@example.net", "no@example.net", "later@example.net"])
        check(len(peer.wait(2)) == 2, "two deliveries")
        self.wait_empty(gateway)
        check([message.recipients for message in peer.messages] ==
              [["RCPT TO:<yes@example.net>"], ["RCPT TO:<later@example.net>"]], "others than wanted")
        check(self.report(self.wait_mail(gateway, 1)[0])[0]["Final-Recipient"] == "rfc822; no@example.net", "whom?")

    def a_refusal_can_be_put_off(self):
        gateway, peer = self._with('''on("delivery.response", function(_, delivery)
            if delivery.code == 550 and delivery.outcome == "refused" and delivery.class == "policy" then
                return defer() end end)''', "550 5.7.1 we do not know you", "550 5.7.1 we do not know you")
        check(len(peer.wait(1)) == 1, "it never came")
        self.wait_empty(gateway)
        check(not self.mailbox(gateway), "its sender was told that it failed")

    def a_response_can_hold(self):
        gateway, peer = self._with('''on("delivery.response", function(_, delivery) return hold() end)''', FIRST)
        row = self._held(gateway)
        check("later" in row["reason"], f"{row}")
        self.command(gateway, "queue", "release", "--state", "held")
        check(len(peer.wait(1)) == 1, "released, and not delivered")

    def an_end_is_shown_once(self):
        gateway, peer = self._with('''on("delivery.done", function(_, delivery, recipient, message)
            log.notice("done " .. delivery.outcome .. " " .. delivery.attempts .. " " .. recipient.address .. " " ..
                message.sender) end)''', FIRST)
        peer.wait(1)
        self.wait_empty(gateway)
        said = [event["text"] for event in self.events(gateway, "note", 1, 3) if "done " in event.get("text", "")]
        if not said:
            with open(gateway.log, encoding="utf-8") as file:
                said = [line for line in file if "done delivered" in line]
        check(len(said) == 1 and "done delivered 2 x@example.net alice@example.test" in said[0], f"{said}")

    def a_way_can_be_decided_anew_at_each_attempt(self):
        for verdict, seen in (("defer(451, '4.7.0', 'wait')", "wait"), ("hold()", "policy.lua")):
            gateway, peer = self._with(f'''on("recipient.route", function(session, recipient, message)
                if not session and not message:note("x") then return {verdict} end end)''')
            row, = self.wait_rows(gateway, lambda rows: rows and rows[0]["reason"], "a reason")
            check(seen in row["reason"] and not peer.connections, f"{row}")
        gateway, peer = self._with('''on("recipient.route", function(session)
            if not session then return discard("changed our mind") end end)''')
        self.wait_empty(gateway)
        check(not peer.messages and not self.mailbox(gateway), "discarded, and told of")
        gateway, peer = self._with('''on("recipient.route", function(session, recipient)
            if not session and recipient.local_part == "x" then return redirect("y@example.org") end end)''', FIRST)
        check(peer.wait(1)[0].recipients == ["RCPT TO:<y@example.org>"], "not to whom it was redirected")
        self.wait_empty(gateway)

    def a_hook_that_fails_puts_off(self):
        for stage, arguments in (("delivery.start", "_, delivery"), ("delivery.response", "_, delivery")):
            gateway, peer = self._with(f'''on("{stage}", function({arguments})
                if delivery.attempts == 1 then error("broken") end end)''', "550 5.1.1 nobody" if "resp" in stage else FIRST)
            check(len(peer.wait(1)) == 1, f"{stage}: it never came")
            self.wait_empty(gateway)
            check(not self.mailbox(gateway), f"{stage}: its sender was told that it failed")

    def a_shadow_decides_nothing(self):
        gateway, peer = self._with('''on("delivery.start", { mode = "shadow" }, function() return reject() end)
            on("recipient.route", { mode = "shadow" }, function(session, recipient)
                recipient:route{ hosts = { "192.0.2.1:1" } } return hold() end)
            on("bounce.create", { mode = "shadow" }, function() return discard("x") end)''', "550 5.1.1 nobody")
        self.wait_mail(gateway, 1)
        self.wait_empty(gateway)
        check(peer.connections == 1, "it went another way")
