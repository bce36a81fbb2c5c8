# SPDX-License-Identifier: Apache-2.0
"""What is true of one mailbox, as far as the answers to all clients together tell.

Time is a counter that grows with everything that is sent and answered, so "before" is exact: what
was answered before another thing was sent has happened before it. What overlaps may have happened in
either order, and what was never answered may have happened or not. So the model keeps, for each flag
of each message, the writes that may have been the last: those that no other write is wholly behind.
"""

from wire import Fault

NEVER = 1 << 60

# What a flag may be: bits, so that "either" is both.
OFF, ON, EITHER = 1, 2, 3

BY_EXPUNGE, BY_MOVE = 1, 2


class Write:
    """One change of one flag. `end` is NEVER until it was answered."""
    __slots__ = ("value", "start", "end", "author")

    def __init__(self, value, start, end, author):
        self.value = value
        self.start = start
        self.end = end
        self.author = author


class Message:
    """A UID of a mailbox."""
    __slots__ = ("uid", "token", "base", "base_start", "base_end", "writes", "may_go", "gone_at",
                 "must_be_gone_at", "states", "modseq", "swapped", "is_acknowledged", "is_copy",
                 "log")

    def __init__(self, uid):
        self.uid = uid
        self.token = None       # what names its content, where that is known
        self.base = None        # flag -> OFF/ON/EITHER when it was made; None: nothing is known
        self.base_start = 0
        self.base_end = NEVER
        self.writes = {}        # flag -> [Write]
        self.may_go = 0         # some command may have expunged it
        self.gone_at = NEVER    # somebody was told that it is gone
        self.must_be_gone_at = NEVER
        self.states = {}        # modseq -> flags
        self.modseq = 0         # the highest that was told
        self.swapped = set()    # UNCHANGEDSINCE values that succeeded with a change
        self.is_acknowledged = False
        self.is_copy = False
        self.log = []           # for the report of a fault: (tick, what, flag, value, author)

    def base_value(self, flag):
        return EITHER if self.base is None else self.base.get(flag, OFF)

    def possible(self, flag):
        """What the flag may be now."""
        writes = self.writes.get(flag)
        if not writes:
            return self.base_value(flag)
        value = 0
        base_lives = True
        for write in writes:
            value |= write.value
            if write.end != NEVER and write.start > self.base_end:
                base_lives = False
        return value | self.base_value(flag) if base_lives else value

    def settled(self, flag, before):
        """The value, if it is certain and nothing about it was answered after `before`; else 0."""
        value = self.possible(flag)
        if value == EITHER:
            return 0
        for write in self.writes.get(flag, ()):
            if write.end >= before:
                return 0
        return value

    def prune(self, flag):
        """Takes out the writes that another one is wholly behind."""
        writes = self.writes[flag]
        if len(writes) > 1:
            latest = max((write.start for write in writes if write.end != NEVER), default=0)
            self.writes[flag] = [write for write in writes if write.end > latest]


class Removal:
    """A command that expunges: EXPUNGE, UID EXPUNGE, CLOSE, MOVE."""
    __slots__ = ("start", "end", "uids", "reason", "kept")

    def __init__(self, start, uids, reason):
        self.start = start
        self.end = NEVER
        self.uids = uids        # None: all of the mailbox
        self.reason = reason
        self.kept = set()       # \\Deleted was taken from them meanwhile, perhaps to be set again

    def covers(self, uid):
        return self.uids is None or uid in self.uids


class Copy:
    """A COPY or MOVE under way: what the flags of its messages may be meanwhile."""
    __slots__ = ("uids", "values")

    def __init__(self, uids):
        self.uids = uids
        self.values = {}        # uid -> {flag: OFF/ON/EITHER}


class Box:
    """A mailbox. `name` is as commands spell it."""

    def __init__(self, account, name, flags):
        self.account = account
        self.name = name
        self.all_flags = flags  # every flag that a client of this test may set
        self.validity = None
        self.messages = {}
        self.removals = []
        self.copies = []
        self.tokens = set()     # what was, or may have been, put into it
        self.strangers = False  # something was copied here whose content the model does not know
        self.highest = 0        # the highest modseq or HIGHESTMODSEQ that anybody was told
        self.top_uid = 0        # the highest UID that anybody was told
        self.changes = []       # (tick, uid, flag): flags whose change was answered
        self.events = []        # (tick, uid, is_there): answered appends, expunges

    # ---- messages ----

    def message(self, uid):
        """The message of a UID, which somebody was told exists."""
        found = self.messages.get(uid)
        if found is None:
            found = self.messages[uid] = Message(uid)
            if uid > self.top_uid:
                self.top_uid = uid
            self.doom(found, 0)
        return found

    def doom(self, message, since):
        """Notes that the removals that were not over at `since` may take it."""
        for removal in self.removals:
            if removal.end > since and removal.covers(message.uid):
                if removal.reason == BY_MOVE or message.possible(b"\\Deleted") & ON:
                    message.may_go |= removal.reason

    def know_content(self, uid, token):
        """A body was read, or a response code tells which message a UID is."""
        message = self.message(uid)
        if message.token is None:
            if token not in self.tokens and not self.strangers:
                raise Fault(f"{self.name}: UID {uid} has the content {token!r}, which nobody put there")
            message.token = token
        elif message.token != token:
            raise Fault(f"{self.name}: UID {uid} was {message.token!r} and is now {token!r}")
        return message

    def made(self, uid, token, base, start, end):
        """An APPEND or COPY that was answered made this message."""
        message = self.messages.get(uid)
        if message is None:
            message = self.messages[uid] = Message(uid)
            if uid > self.top_uid:
                self.top_uid = uid
        if token is not None:
            self.know_content(uid, token)
        message.base, message.base_start, message.base_end = base, start, end
        message.is_acknowledged = True
        self.doom(message, start)
        self.events.append((end, uid, True))
        return message

    # ---- flags ----

    def begin_write(self, uid, flag, value, start, author):
        message = self.message(uid)
        write = Write(value, start, NEVER, author)
        message.writes.setdefault(flag, []).append(write)
        message.log.append((start, "sent", flag, value, author))
        if flag == b"\\Deleted" and value & ON:
            self.doom(message, start)
        if flag == b"\\Deleted" and value & OFF:
            for removal in self.removals:
                if removal.end == NEVER:
                    removal.kept.add(uid)
        for copy in self.copies:
            if uid in copy.values:
                copy.values[uid][flag] = copy.values[uid].get(flag, OFF) | value
        return (message, flag, write)

    def end_write(self, handle, end, happened=True):
        """Answered: it happened, or it certainly did not."""
        message, flag, write = handle
        message.log.append((end, "done" if happened else "left alone", flag, write.value, write.author))
        writes = message.writes.get(flag)
        if writes is None or write not in writes:
            return
        if happened:
            write.end = end
            # A connection's commands happen in their order, also where they were pipelined.
            at = writes.index(write)
            message.writes[flag] = [other for other in writes[:at] if other.end == NEVER or
                                    other.author is not write.author] + writes[at:]
            message.prune(flag)
            self.changes.append((end, message.uid, flag))
        else:
            writes.remove(write)

    def told(self, uid, flags, modseq, since):
        """Somebody was told this of a message by a session that selected the mailbox at `since`."""
        message = self.messages.get(uid)
        if message is None:
            message = self.message(uid)
        if message.gone_at < since or message.must_be_gone_at < since:
            raise Fault(f"{self.name}: UID {uid}, which was expunged, is told to a new session")
        if modseq is not None:
            if flags is not None:
                known = message.states.get(modseq)
                if known is None:
                    message.states[modseq] = flags
                elif known != flags:
                    raise Fault(f"{self.name}: UID {uid} has at MODSEQ {modseq} the flags "
                                f"{sorted(flags)}, and had {sorted(known)}")
            if modseq > message.modseq:
                message.modseq = modseq
                if modseq > self.highest:
                    self.highest = modseq
        return message

    # ---- expunges ----

    def begin_removal(self, start, uids, reason, known=()):
        """`known` are the UIDs that the session was told of: only they go for certain."""
        removal = Removal(start, uids, reason)
        self.removals.append(removal)
        sure = []
        for message in (self.messages.values() if uids is None else
                        [self.messages[uid] for uid in uids if uid in self.messages]):
            if message.gone_at != NEVER:
                continue
            deleted = message.possible(b"\\Deleted")
            if reason == BY_MOVE or deleted & ON:
                message.may_go |= reason
            if message.uid in known and message.settled(b"\\Deleted", start) == ON:
                sure.append(message)
        return removal, sure

    def end_removal(self, handle, end, happened=True):
        """Answered. What had \\Deleted for certain all the time is gone now."""
        removal, sure = handle
        removal.end = end
        if not happened:
            return
        for message in sure:
            if message.uid not in removal.kept and message.possible(b"\\Deleted") == ON:
                self.must_go(message, end)

    def must_go(self, message, tick):
        if message.must_be_gone_at == NEVER:
            message.must_be_gone_at = tick
            self.events.append((tick, message.uid, False))

    def gone(self, uid, tick):
        """Somebody was told that it is expunged."""
        message = self.message(uid)
        if not message.may_go:
            raise Fault(f"{self.name}: UID {uid} is told to be expunged, and no command can have "
                        "done that")
        if message.gone_at == NEVER:
            message.gone_at = tick

    # ---- copies ----

    def begin_copy(self, uids):
        copy = Copy(uids)
        for uid in uids:
            message = self.message(uid)
            if message.base is None:
                copy.values[uid] = {flag: message.possible(flag) for flag in self.all_flags}
            else:
                copy.values[uid] = {flag: message.possible(flag)
                                    for flag in {*message.base, *message.writes}}
        self.copies.append(copy)
        return copy

    def end_copy(self, copy):
        if copy in self.copies:
            self.copies.remove(copy)

    # ---- when everything stands still ----

    def audit(self, truth):
        """`truth` is {uid: (flags, modseq)} of a fresh session while nothing is under way. What must
        hold is checked, and the model is from now on what was seen."""
        for uid, message in self.messages.items():
            if uid in truth:
                if NEVER != message.gone_at or message.must_be_gone_at != NEVER:
                    raise Fault(f"{self.name}: UID {uid} was expunged and is there")
            elif message.gone_at == NEVER and not message.may_go:
                raise Fault(f"{self.name}: UID {uid} ({message.token!r}) is lost")
        for uid, (flags, modseq) in truth.items():
            message = self.message(uid)
            for flag in flags:
                if flag not in self.all_flags:
                    raise Fault(f"{self.name}: UID {uid} has the flag {flag!r}, which nobody set")
            for flag in self.all_flags:
                value = ON if flag in flags else OFF
                if not message.possible(flag) & value:
                    writes = [(write.value, write.start, write.end, write.author)
                              for write in message.writes.get(flag, ())]
                    raise Fault(f"{self.name}: UID {uid} ({message.token!r}) "
                                f"{'has' if value == ON else 'lacks'} {flag!r}; writes: {writes}, "
                                f"at first: {message.base_value(flag)}")
            if modseq is not None and modseq < message.modseq:
                raise Fault(f"{self.name}: UID {uid} has MODSEQ {modseq}, told before: "
                            f"{message.modseq}")
        self.messages = {uid: message for uid, message in self.messages.items() if uid in truth}
        for uid, (flags, modseq) in truth.items():
            message = self.messages[uid]
            message.base = {flag: ON for flag in flags}
            message.base_start = message.base_end = 0
            message.writes = {}
            message.may_go = 0
            message.is_acknowledged = True
            del message.log[:-40]
            message.states = {modseq: flags} if modseq is not None else {}
        self.removals, self.copies, self.changes, self.events = [], [], [], []
        self.strangers = False
