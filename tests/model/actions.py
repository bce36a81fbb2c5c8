# SPDX-License-Identifier: Apache-2.0
"""FETCH, STORE and the small commands that clients send, and what their answers must be.

Each function makes a Command whose on_done judges the answer and tells the model what happened. A
command whose answer never comes stays in the model as one that may have happened.
"""

from box import EITHER, NEVER, OFF, ON
from command import Command, must_be_ok
from moving import SHARED, Moving
from searching import Searching
from wire import Fault, format_set, parse_set


class Actions(Searching, Moving):
    """What a client can do in its selected mailbox. Uses self.session, self.random, self.world."""

    # ---- choosing ----

    def targets(self, most=8):
        """[(number, uid)] of some messages, ascending; those whose UID is known."""
        view = self.session.view
        size = len(view)
        if not size:
            return []
        draw = self.random
        kind = draw.random()
        if kind < 0.4:
            places = [draw.randrange(size)]
        elif kind < 0.75:
            first = draw.randrange(size)
            places = range(first, min(size, first + 1 + draw.randrange(most)))
        else:
            places = sorted({draw.randrange(size) for _ in range(1 + draw.randrange(most))})
        return [(place + 1, view[place]) for place in places if view[place] is not None]

    def all_known(self):
        return [(place + 1, uid) for place, uid in enumerate(self.session.view) if uid is not None]

    def set_of(self, targets, by_uid):
        """The set as text; UID sets may name more, in any order."""
        numbers = [uid if by_uid else number for number, uid in targets]
        if by_uid and self.random.random() < 0.1:
            draw = list(numbers)
            self.random.shuffle(draw)
            return b",".join(b"%d" % number for number in draw)
        return format_set(numbers)

    @staticmethod
    def form(by_uid, name):
        return b"UID " + name if by_uid else name

    # ---- FETCH ----

    def fetch(self, by_uid, targets, items=None, since=None, vanished=False):
        """FETCH of these messages."""
        session, box = self.session, self.session.box
        draw = self.random
        if items is None:
            items = draw.choice((b"FLAGS", b"FLAGS", b"FLAGS", b"(UID FLAGS)", b"(UID FLAGS)",
                                 b"(FLAGS UID RFC822.SIZE INTERNALDATE)", b"(UID)",
                                 b"(UID BODY.PEEK[])", b"(BODY.PEEK[HEADER.FIELDS (X-Model-Id)])",
                                 b"(UID FLAGS BODY[])", b"FAST", b"(UID BODY.PEEK[]<7.30>)"))
            if session.condstore and draw.random() < 0.4:
                items = b"(UID FLAGS MODSEQ)"
        text = self.form(by_uid, b"FETCH ") + self.set_of(targets, by_uid) + b" " + items
        if since is not None:
            text += b" (CHANGEDSINCE %d%s)" % (since, b" VANISHED" if vanished else b"")
        writes = []
        if b"BODY[]" in items and not session.read_only:
            start = self.world.now
            writes = [box.begin_write(uid, b"\\Seen", ON, start, self) for _, uid in targets]
        stale = {uid: session.modseqs.get(uid) for _, uid in targets} if since is not None else None
        command = Command(self.form(by_uid, b"FETCH"), text, [uid for _, uid in targets],
                          lambda command, now: self.fetched(command, now, items, by_uid, since,
                                                            vanished, writes, stale), box)
        return command

    def fetched(self, command, now, items, by_uid, since, vanished, writes, stale):
        session = self.session
        for write in writes:
            write[2].start = min(write[2].start, command.start)
            if command.status == b"OK":
                command.box.end_write(write, now)
        if command.status != b"OK" and self.world.lenient:
            return
        must_be_ok(command)
        wants_flags = b"FLAGS" in items or b"FAST" in items
        wants_body = b"BODY" in items
        for uid in command.uids:
            if uid not in session.uids:
                continue
            message = command.box.messages[uid]
            told = command.told.get(uid)
            if since is not None:
                known = stale[uid]
                if told is None:
                    if known is not None and known > since and not message.may_go:
                        raise Fault(f"CHANGEDSINCE {since} leaves out UID {uid} of MODSEQ {known}")
                    continue
                if told.modseq is None:
                    raise Fault("FETCH with CHANGEDSINCE and without MODSEQ (RFC 7162 3.1.4.1)")
                # A change that came by a FETCH may be told once more by the next look at the mailbox.
                if told.modseq <= min(since, session.synced) and told.modseq == known:
                    raise Fault(f"CHANGEDSINCE {since} tells UID {uid} of MODSEQ {told.modseq}")
                continue
            if self.world.lenient and message.may_go:
                continue
            if told is None:
                raise Fault(f"FETCH says nothing of UID {uid}")
            if by_uid and not told.has_uid:
                raise Fault(f"UID FETCH without UID, of {uid} (RFC 3501 6.4.8)")
            if wants_flags and told.flags is None:
                raise Fault(f"FETCH FLAGS of UID {uid} without FLAGS")
            if wants_body and not told.sections:
                raise Fault(f"FETCH of a body of UID {uid} without it")
            if b"MODSEQ" in items and told.modseq is None:
                raise Fault(f"FETCH MODSEQ of UID {uid} without it")
        if vanished:
            self.judge_vanished(command, since)

    def judge_vanished(self, command, since):
        """UID FETCH … (CHANGEDSINCE n VANISHED): what was told to be gone after n must be named."""
        named = command.vanished or set()
        if not named <= command.details:
            raise Fault(f"VANISHED (EARLIER) {sorted(named - command.details)} were not asked for")
        for uid, synced, tick in self.session.removed:
            if tick < command.start and synced >= since and uid in command.details and uid not in named:
                raise Fault(f"VANISHED (EARLIER) since {since} leaves out UID {uid}, told to be gone "
                            f"after {synced}")

    def fetch_changed(self, by_uid):
        """FETCH with CHANGEDSINCE, perhaps VANISHED."""
        session = self.session
        known = list(session.modseqs.values())
        since = self.random.choice(known) if known and self.random.random() < 0.7 else session.synced
        if since == 0:
            since = session.selected_highest or 1
        vanished = by_uid and session.qresync and session.synced > 0 and self.random.random() < 0.6
        if not vanished:
            targets = self.targets(20)
            return self.fetch(by_uid, targets, b"(FLAGS)", since) if targets else None
        since = min(since, session.synced)
        gone = [uid for uid, _, _ in session.removed]
        low = min([uid for _, uid in self.all_known()] + gone, default=0)
        high = max([uid for _, uid in self.all_known()] + gone, default=0)
        if not low:
            return None
        command = self.fetch(True, [(0, uid) for uid in range(low, high + 1)], b"(FLAGS)", since, True)
        command.details = set(range(low, high + 1))
        command.uids = [uid for uid in command.uids if uid in session.uids]
        return command

    # ---- STORE ----

    def store(self, by_uid, targets, deleted=False):
        """STORE of some form: the client's own keyword, flags that all clients change, or both."""
        session, box, draw = self.session, self.session.box, self.random
        kind = draw.random()
        how = b"+" if draw.random() < 0.55 else b"-"
        if deleted:
            how, flags = b"+", [b"\\Deleted"]
        elif kind < 0.55:
            flags = [self.keyword]
        elif kind < 0.8:
            flags = [draw.choice((b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Draft"))]
        elif kind < 0.9:
            flags = [draw.choice(SHARED), self.keyword]
        else:
            flags = draw.sample(SHARED, draw.randrange(3))
            if draw.random() < 0.5:
                flags.append(self.keyword)
            if draw.random() < 0.4 or not flags:
                how = b""
        silent = draw.random() < 0.35
        since = None
        if session.condstore and draw.random() < 0.35:
            since = self.choose_since(targets)
        text = self.form(by_uid, b"STORE ") + self.set_of(targets, by_uid) + b" "
        if since is not None:
            text += b"(UNCHANGEDSINCE %d) " % since
        text += how + b"FLAGS" + (b".SILENT " if silent else b" ")
        text += b"(" + b" ".join(flags) + b")" if len(flags) != 1 or draw.random() < 0.7 else flags[0]
        plan = {flag: OFF if how == b"-" else ON for flag in flags}
        if how == b"":
            plan = {flag: ON if flag in flags else OFF for flag in box.all_flags}
        numbers = dict(targets)
        uids = [uid for _, uid in targets]
        writes, changes, before = {}, set(), {}
        # The model must know before the command is sent; its clock is corrected when it is.
        start = self.world.now
        for uid in uids:
            message = box.messages[uid]
            if self.keyword in plan:
                value = message.possible(self.keyword)
                if value != EITHER and value != plan[self.keyword]:
                    changes.add(uid)
            before[uid] = message.modseq
            writes[uid] = [box.begin_write(uid, flag, value, start, self)
                           for flag, value in plan.items()]
        command = Command(self.form(by_uid, b"STORE"), text, uids, None, box)
        command.on_done = lambda command, now: self.stored(
            command, now, by_uid, numbers, plan, silent, since, writes, changes, before)
        return command

    def choose_since(self, targets):
        known = [self.session.modseqs.get(uid) for _, uid in targets]
        known = [modseq for modseq in known if modseq]
        if not known:
            return None
        kind = self.random.random()
        if kind < 0.6:
            return max(known)
        if kind < 0.8:
            return min(known)
        if kind < 0.9:
            return max(1, min(known) - 1)
        return self.random.choice(known)

    def stored(self, command, now, by_uid, numbers, plan, silent, since, writes, changes, before):
        session, box = self.session, command.box
        modified = set()
        if command.code == b"MODIFIED":
            modified = set(parse_set(command.argument, "MODIFIED"))
            if since is None:
                raise Fault("MODIFIED without UNCHANGEDSINCE")
            if not by_uid:
                if not modified <= set(numbers):
                    raise Fault(f"MODIFIED names {sorted(modified)} of {sorted(numbers)}")
                modified = {numbers[number] for number in modified}
            elif not modified <= set(command.uids):
                raise Fault(f"MODIFIED names {sorted(modified)} of {command.uids}")
        happened = (command.status == b"OK" or command.code == b"MODIFIED") and not session.read_only
        for uid, handles in writes.items():
            for handle in handles:
                box.end_write(handle, now, happened and uid not in modified)
        if session.read_only:
            if command.status != b"NO" and not self.world.lenient:
                raise Fault(f"STORE in a mailbox that was EXAMINEd: {command.status!r}")
            return
        if command.status == b"NO" and self.world.lenient:
            # RFC 2180 4.2: others may refuse because of an expunged message; what happened is open.
            for uid, handles in writes.items():
                for message, flag, write in handles:
                    box.begin_write(uid, flag, write.value, command.start, self)
            return
        must_be_ok(command)
        # What another client replaced meanwhile was perhaps no change any more.
        changes = {uid for uid in changes if all(
            write.author is self for write in box.messages[uid].writes.get(self.keyword, ()))}
        self.world.count("STORE with UNCHANGEDSINCE" if since is not None else "STORE")
        for uid in command.uids:
            message = box.messages[uid]
            told = command.told.get(uid)
            if uid in modified:
                self.world.count("message left alone by UNCHANGEDSINCE")
                continue
            if since is not None and before[uid] > since and not message.may_go:
                raise Fault(f"UNCHANGEDSINCE {since} changed UID {uid}, which had {before[uid]}")
            if uid not in session.uids or message.may_go:
                if silent:
                    self.apply(uid, plan, told)
                continue
            self.judge_stored(command, message, told, by_uid, plan, silent, since, changes)

    def judge_stored(self, command, message, told, by_uid, plan, silent, since, changes):
        """The FETCH responses of a STORE that changed this message."""
        session, uid = self.session, message.uid
        if silent:
            self.apply(uid, plan, told)
            # RFC 7162 3.1.3: the new MODSEQ is told, .SILENT or not.
            if session.condstore and uid in changes and (told is None or told.modseq is None):
                raise Fault(f"STORE .SILENT of UID {uid} without a FETCH of its MODSEQ")
        else:
            if told is None or told.flags is None:
                if uid in changes:
                    raise Fault(f"STORE without FETCH FLAGS of UID {uid}")
                return  # nothing changed; if something did, the next NOOP shows that it was not told
            if by_uid and not told.has_uid:
                raise Fault(f"UID STORE without UID of {uid}")
            value = message.possible(self.keyword)
            alone = all(write.author is self for write in message.writes.get(self.keyword, ()))
            if alone and value != EITHER and (self.keyword in told.flags) != (value == ON):
                raise Fault(f"STORE told UID {uid} {sorted(told.flags)}")
        if uid in changes and session.condstore and told is not None and told.modseq is not None:
            if told.modseq <= command.floor:
                raise Fault(f"a change of UID {uid} has MODSEQ {told.modseq}, and {command.floor} was "
                            "told before it was asked for")
        if uid in changes and since is not None:
            if since in message.swapped:
                raise Fault(f"UID {uid} was changed twice with UNCHANGEDSINCE {since}")
            message.swapped.add(since)

    def apply(self, uid, plan, told):
        """What a client makes of its own .SILENT change. Where others had changed the message too, it
        is told all flags (RFC 3501 6.4.6), its own change among them."""
        if uid not in self.session.flags or told is not None and told.flags is not None:
            return
        flags = set(self.session.flags[uid])
        for flag, value in plan.items():
            (flags.add if value == ON else flags.discard)(flag)
        self.session.flags[uid] = frozenset(flags)

    # ---- what else there is ----

    def noop(self):
        name = b"NOOP" if self.random.random() < 0.8 else b"CHECK"
        if self.session.box is None:
            name = b"NOOP"
        command = Command(name, name, (), None, self.session.box)
        command.on_done = lambda command, now: self.synchronised(command)
        return command

    def synchronised(self, command):
        must_be_ok(command)
        if self.session.box is not None:
            self.session.check_synced(command.start)

    def status(self, box):
        """STATUS. HIGHESTMODSEQ enables CONDSTORE (RFC 7162 3.1), so that only some ask for it."""
        wanted = [b"MESSAGES", b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN", b"RECENT"]
        if self.session.condstore:
            wanted.append(b"HIGHESTMODSEQ")
        if b"STATUS=SIZE" in self.session.capabilities:
            wanted.append(b"SIZE")
        self.random.shuffle(wanted)
        top = box.top_uid
        known = sum(1 for message in box.messages.values()
                    if message.is_acknowledged and message.base_end != NEVER and not message.may_go)
        command = Command(b"STATUS", b"STATUS %s (%s)" % (box.name.encode(), b" ".join(wanted)), (),
                          None, box)
        command.on_done = lambda command, now: self.judge_status(command, wanted, top, known)
        return command

    def judge_status(self, command, wanted, top, known):
        must_be_ok(command)
        if command.found is None:
            raise Fault("STATUS without an answer")
        box = command.box
        values = parse_status(command.found[1])
        if set(values) != set(wanted):
            raise Fault(f"STATUS was asked for {wanted}, and tells {values}")
        if box.validity is not None and values[b"UIDVALIDITY"] != box.validity:
            raise Fault(f"STATUS has UIDVALIDITY {values[b'UIDVALIDITY']}")
        if self.session.box is box:
            return  # of the selected mailbox it may tell what the session was told
        if values[b"UIDNEXT"] <= top:
            raise Fault(f"STATUS has UIDNEXT {values[b'UIDNEXT']}, and UID {top} was told before")
        doomed = sum(1 for message in box.messages.values() if message.may_go)
        if values[b"MESSAGES"] < known - doomed:
            raise Fault(f"STATUS has MESSAGES {values[b'MESSAGES']}, and {known} must be there")
        if b"HIGHESTMODSEQ" in values:
            if values[b"HIGHESTMODSEQ"] < command.floor:
                raise Fault(f"STATUS has HIGHESTMODSEQ {values[b'HIGHESTMODSEQ']}, and "
                            f"{command.floor} was told before")
            box.highest = max(box.highest, values[b"HIGHESTMODSEQ"])


def parse_status(text):
    """{item: number} of a STATUS answer."""
    _, _, items = text.partition(b" (")
    if not items.endswith(b")"):
        raise Fault(f"STATUS of no known form: {text!r}")
    words = items[:-1].split()
    return {word: int(value) for word, value in zip(words[::2], words[1::2])}
