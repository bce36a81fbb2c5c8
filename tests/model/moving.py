# SPDX-License-Identifier: Apache-2.0
"""What brings messages into mailboxes and out of them: APPEND, COPY, MOVE, EXPUNGE, CLOSE."""

from box import BY_EXPUNGE, BY_MOVE, EITHER, ON
from command import Command, must_be_ok
from wire import Fault, parse_set

SHARED = (b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Draft")


class Moving:
    """A part of what clients can do (actions.py)."""

    # ---- APPEND, COPY, MOVE ----

    def append(self, box):
        """APPEND with a literal, which waits for the server in some cases."""
        draw = self.random
        token, date, data = self.world.new_message(draw)
        flags = [self.keyword] if draw.random() < 0.3 else []
        flags += draw.sample(SHARED, draw.choice((0, 0, 0, 1, 2)))
        box.tokens.add(token)
        text = b"APPEND " + box.name.encode()
        if flags or draw.random() < 0.3:
            text += b" (" + b" ".join(flags) + b")"
        text += b' "' + date + b'"'
        base = {flag: ON for flag in flags}
        more = ()
        if draw.random() < 0.7 and b"LITERAL+" in self.session.capabilities:
            text += b" {%d+}\r\n" % len(data) + data
        else:
            text += b" {%d}" % len(data)
            more = (data + b"\r\n",)
        command = Command(b"APPEND", text, (), None, box, more, box.top_uid)
        command.on_done = lambda command, now: self.appended(command, now, token, base)
        self.world.pending_appends[token] = (box, base, command)
        return command

    def appended(self, command, now, token, base):
        must_be_ok(command)
        box = command.box
        if command.code != b"APPENDUID":
            raise Fault("APPEND without APPENDUID (RFC 4315 3)")
        validity, uid = (int(word) for word in command.argument.split())
        self.judge_new_uid(box, validity, uid, command)
        del self.world.pending_appends[token]
        box.made(uid, token, base, command.start, now)
        self.world.count("APPEND")

    def judge_new_uid(self, box, validity, uid, command):
        if box.validity is None:
            box.validity = validity
        if validity != box.validity:
            raise Fault(f"UIDVALIDITY {validity} of {box.name}, which was {box.validity}")
        message = box.messages.get(uid)
        if message is not None and message.is_acknowledged:
            raise Fault(f"UID {uid} of {box.name} was given before")
        if uid <= command.details:
            raise Fault(f"the new UID {uid} is not above {command.details}")

    def copy(self, by_uid, targets, target, move):
        """COPY or MOVE."""
        box = self.session.box
        name = b"MOVE" if move else b"COPY"
        numbers = [uid for _, uid in targets]
        start = self.world.now
        under_way = box.begin_copy(numbers)
        for uid in numbers:
            token = box.messages[uid].token
            if token is None:
                target.strangers = True
            else:
                target.tokens.add(token)
                self.world.copied.add(token)
        removal = box.begin_removal(start, set(numbers), BY_MOVE) if move else None
        text = self.form(by_uid, name) + b" " + self.set_of(targets, by_uid) + b" " + \
            target.name.encode()
        command = Command(self.form(by_uid, name), text, numbers, None, box, (), target.top_uid)
        command.on_done = lambda command, now: self.copied(command, now, target, under_way, removal)
        return command

    def copied(self, command, now, target, under_way, removal):
        box, session = command.box, self.session
        box.end_copy(under_way)
        if removal is not None:
            box.end_removal(removal, now)
        if command.status == b"NO" and self.world.lenient:
            return
        must_be_ok(command)
        codes = [(code, argument) for _, code, argument in command.untagged_codes] + \
            [(command.code, command.argument)]
        told = [argument for code, argument in codes if code == b"COPYUID"]
        if len(told) > 1:
            raise Fault("COPYUID twice")
        if not told:
            for uid in command.uids:
                if not box.messages[uid].may_go & BY_EXPUNGE and \
                        self.was_there_alone(box, uid, removal):
                    raise Fault(f"no COPYUID, and UID {uid} was there")
            return
        validity, source, made = told[0].split()
        source, made = parse_set(source, "COPYUID"), parse_set(made, "COPYUID")
        if len(source) != len(made):
            raise Fault(f"COPYUID with {len(source)} and {len(made)} UIDs")
        if sorted(set(made)) != made:
            raise Fault("the UIDs of COPYUID do not ascend")
        if not set(source) <= set(command.uids):
            raise Fault(f"COPYUID names {source} of {command.uids}")
        for old, new in zip(source, made):
            self.judge_new_uid(target, int(validity), new, command)
            values = under_way.values[old]
            message = box.messages[old]
            if message.base is None:
                base = {flag: values.get(flag, EITHER) for flag in target.all_flags}
            else:
                base = {flag: value | message.possible(flag) for flag, value in values.items()}
            target.made(new, message.token, base, command.start, now).is_copy = True
        for uid in command.uids:
            message = box.messages[uid]
            if uid not in source and not message.may_go & BY_EXPUNGE and \
                    self.was_there_alone(box, uid, removal):
                raise Fault(f"COPYUID leaves out UID {uid}, which was there")
        if removal is not None:
            for uid in source:
                box.must_go(box.messages[uid], now)
            left = [uid for uid in source if uid in session.uids]
            if left:
                raise Fault(f"MOVE did not tell that {left} are gone (RFC 6851 3.3)")
        self.world.count("MOVE" if removal is not None else "COPY")

    @staticmethod
    def was_there_alone(box, uid, removal):
        """Whether no other MOVE can have taken it first."""
        own = removal[0] if removal is not None else None
        return not any(other is not own and other.reason == BY_MOVE and other.covers(uid)
                       for other in box.removals)

    # ---- EXPUNGE, CLOSE ----

    def expunge(self, targets=None):
        """EXPUNGE, or UID EXPUNGE of these."""
        box = self.session.box
        uids = None if targets is None else {uid for _, uid in targets}
        text = b"EXPUNGE" if targets is None else b"UID EXPUNGE " + self.set_of(targets, True)
        removal = None
        if not self.session.read_only:
            removal = box.begin_removal(self.world.now, uids, BY_EXPUNGE,
                                        frozenset(self.session.uids))
        command = Command(b"EXPUNGE" if targets is None else b"UID EXPUNGE", text, (), None, box)
        command.on_done = lambda command, now: self.expunged(command, now, removal)
        return command

    def expunged(self, command, now, removal):
        if removal is None:
            if command.status != b"NO" and not self.world.lenient:
                raise Fault("EXPUNGE in a mailbox that was EXAMINEd")
            return
        must_be_ok(command)
        command.box.end_removal(removal, now)
        for message in removal[1]:
            if message.must_be_gone_at == now and message.uid in self.session.uids:
                raise Fault(f"EXPUNGE did not tell that UID {message.uid} is gone (RFC 3501 6.4.3)")
        self.world.count("EXPUNGE")

    def close(self):
        box = self.session.box
        removal = None
        if not self.session.read_only:
            removal = box.begin_removal(self.world.now, None, BY_EXPUNGE,
                                        frozenset(self.session.uids))
        command = Command(b"CLOSE", b"CLOSE", (), None, box)
        command.on_done = lambda command, now: self.closed(command, now, removal)
        return command

    def closed(self, command, now, removal):
        must_be_ok(command)
        if removal is not None:
            command.box.end_removal(removal, now)
        self.session.forget_mailbox()

    def unselect(self):
        command = Command(b"UNSELECT", b"UNSELECT", (), None, self.session.box)
        command.on_done = lambda command, now: (must_be_ok(command), self.session.forget_mailbox())
        return command
