# SPDX-License-Identifier: Apache-2.0
"""One connection and what it was told: judges every untagged line.

The view is the list of UIDs by sequence number (None: announced by EXISTS, UID not told yet). What a
line says must fit the view, the rules of RFC 3501 and RFC 7162, and the model of the mailbox.
"""

from collections import deque

from box import EITHER, NEVER, ON
from command import Told
from selecting import Selecting
from wire import Fault, Reader, STATUS, parse_fetch, parse_set

# RFC 3501 7.4.1: no EXPUNGE while these run; their UID forms are not meant.
NO_EXPUNGE = frozenset((b"FETCH", b"STORE", b"SEARCH"))


class Session(Selecting):
    """Judges what a connection says. `client` gives `name` and `keyword`, `world` the clock."""

    def __init__(self, world, client, socket):
        self.world = world
        self.client = client
        self.socket = socket
        self.reader = Reader()
        self.output = b""
        self.pending = deque()
        self.transcript = deque(maxlen=world.remember)
        self.count = 0
        self.condstore = False
        self.qresync = False
        self.greeted = False
        self.logged_out = False
        self.capabilities = frozenset()
        self.forget_mailbox()

    def forget_mailbox(self):
        """No mailbox is selected."""
        self.box = None
        self.view = []
        self.uids = set()
        self.flags = {}
        self.modseqs = {}
        self.read_only = False
        self.selected_at = 0
        self.selecting = None
        self.closed_old = False
        self.synced = 0             # every change up to this modseq was told
        self.selected_highest = 0
        self.removed = []           # (uid, synced when it was told to be gone, tick)
        self.changes_at = self.events_at = 0
        self.permanent = None

    # ---- sending ----

    def send(self, commands, prefix=b""):
        """Puts commands on the wire, pipelined."""
        out = [prefix]
        for command in commands:
            self.count += 1
            command.tag = b"%s%d" % (self.client.tag, self.count)
            command.start = self.world.tick()
            if command.box is not None:
                command.floor = command.box.highest
            self.pending.append(command)
            line = command.tag + b" " + command.text + b"\r\n"
            out.append(line)
            self.transcript.append((self.world.now, "C", line))
        self.write(b"".join(out))

    def write(self, data):
        if self.output:
            self.output += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the end of the connection is heard where it is read
        if sent < len(data):
            self.output = data[sent:]
            self.world.want_write(self, True)

    def flush(self):
        """The socket takes more."""
        try:
            sent = self.socket.send(self.output)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self.output)
        self.output = self.output[sent:]
        if not self.output:
            self.world.want_write(self, False)

    # ---- judging ----

    def feed(self, data):
        """Judges what came; returns whether commands were completed or went on."""
        progress = False
        for line, literals in self.reader.feed(data):
            self.transcript.append((self.world.now, "S", line))
            if line.startswith(b"* "):
                self.untagged(line[2:], literals)
            elif line.startswith(b"+"):
                self.go_on(line)
                progress = True
            else:
                self.tagged(line)
                progress = True
        return progress

    def go_on(self, line):
        if not self.pending:
            raise Fault(f"a continuation and no command: {line!r}")
        command = self.pending[0]
        if command.more:
            piece, command.more = command.more[0], command.more[1:]
            self.transcript.append((self.world.now, "C", piece))
            self.write(piece)
        elif command.wants_go and not command.went:
            command.went = True
        else:
            raise Fault(f"a continuation that was not asked for: {line!r}")

    def tagged(self, line):
        if not self.pending:
            raise Fault("an answer and no command")
        command = self.pending[0]
        tag, _, rest = line.partition(b" ")
        match = STATUS.match(rest)
        if tag != command.tag or match is None or match.group(1) not in (b"OK", b"NO", b"BAD"):
            raise Fault(f"expected the answer to {command.tag!r}")
        self.pending.popleft()
        command.status, command.code, command.argument = match.group(1), match.group(2), match.group(3)
        now = self.world.tick()
        if self.selecting is command:
            self.selected(command)
        if command.on_done is not None:
            command.on_done(command, now)
            command.on_done = None

    def untagged(self, text, literals):
        first, _, rest = text.partition(b" ")
        if first.isdigit():
            kind, _, rest = rest.partition(b" ")
            number = int(first)
            if kind == b"FETCH":
                self.fetch(number, parse_fetch(rest, literals))
            elif kind == b"EXPUNGE":
                self.expunge(number)
            elif kind == b"EXISTS":
                self.exists(number)
            elif kind == b"RECENT":
                if self.box is None or (number > len(self.view) and not self.selecting):
                    raise Fault(f"RECENT {number} of {len(self.view)}")
            else:
                raise Fault(f"unknown answer {text!r}")
        elif first in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"):
            self.status_line(text)
        elif first == b"VANISHED":
            self.vanished(rest)
        elif first in (b"SEARCH", b"ESEARCH"):
            if not self.pending or not self.pending[0].name.endswith(b"SEARCH"):
                raise Fault("search results and no search")
            command = self.pending[0]
            if command.found is not None:
                raise Fault("two results for one search")
            command.found = (first, rest)
        elif first == b"CAPABILITY":
            self.capabilities = frozenset(rest.split())
        elif first == b"STATUS":
            if not self.pending or self.pending[0].name != b"STATUS":
                raise Fault("STATUS was not asked for")
            self.pending[0].found = (first, rest)
        elif first == b"FLAGS":
            if self.selecting is not None:
                self.selecting.details["FLAGS"] = rest
        elif first not in (b"ENABLED", b"LIST", b"LSUB", b"ID", b"NAMESPACE"):
            raise Fault(f"unknown answer {text!r}")

    def status_line(self, text):
        match = STATUS.match(text)
        if match is None:
            raise Fault(f"a status of no known form: {text!r}")
        word, code, argument, _ = match.groups()
        self.greeted = True
        if word == b"BYE":
            self.logged_out = True
            return
        if code == b"CAPABILITY":
            self.capabilities = frozenset(argument.split())
        elif code == b"CLOSED":
            if self.selecting is None or self.closed_old:
                raise Fault("[CLOSED] and no SELECT from a selected mailbox")
            self.closed_old = True
            self.start_view()
        elif self.selecting is not None and code is not None:
            self.selecting.details[code.decode()] = argument
        elif code == b"HIGHESTMODSEQ" and self.box is not None:
            self.box.highest = max(self.box.highest, int(argument))
        if code is not None and self.pending:
            self.pending[0].untagged_codes.append((word, code, argument))

    # ---- the view ----

    def need_mailbox(self, what):
        if self.box is None:
            raise Fault(f"{what} and no mailbox is selected")

    def exists(self, number):
        self.need_mailbox("EXISTS")
        if self.selecting is not None and self.closed_old:
            if self.selecting.details["exists"] is not None:
                raise Fault("EXISTS twice at SELECT")
            self.selecting.details["exists"] = number
            return
        if number < len(self.view):
            raise Fault(f"EXISTS {number} of {len(self.view)}: it may not shrink")
        self.view.extend([None] * (number - len(self.view)))

    def may_expunge(self):
        """Whether messages may be told to be gone now."""
        if self.selecting is not None and self.closed_old:
            raise Fault("told to be expunged during SELECT")
        if not self.pending:
            raise Fault("told to be expunged while no command is in progress (RFC 3501 7.4.1)")
        if self.pending[0].name in NO_EXPUNGE:
            raise Fault(f"told to be expunged during {self.pending[0].name.decode()} (RFC 3501 7.4.1)")

    def expunge(self, number):
        self.need_mailbox("EXPUNGE")
        self.may_expunge()
        if self.qresync:
            raise Fault("EXPUNGE after ENABLE QRESYNC (RFC 7162 3.2.10)")
        if not 1 <= number <= len(self.view):
            raise Fault(f"EXPUNGE {number} of {len(self.view)}")
        uid = self.view.pop(number - 1)
        if uid is not None:
            self.forget(uid)

    def forget(self, uid):
        self.uids.discard(uid)
        self.flags.pop(uid, None)
        self.modseqs.pop(uid, None)
        self.removed.append((uid, self.synced, self.world.now))
        if len(self.removed) > 40:
            del self.removed[:20]
        self.box.gone(uid, self.world.tick())

    def vanished(self, text):
        self.need_mailbox("VANISHED")
        if not self.qresync:
            raise Fault("VANISHED without ENABLE QRESYNC")
        earlier = text.startswith(b"(EARLIER) ")
        uids = parse_set(text[10:] if earlier else text, "VANISHED")
        if earlier:
            self.vanished_earlier(uids)
            return
        self.may_expunge()
        for uid in uids:
            if uid in self.uids:
                self.view.remove(uid)
                self.forget(uid)
            else:
                self.view.pop(self.unknown_place(uid))
                self.box.gone(uid, self.world.tick())

    def unknown_place(self, uid):
        """Where a message whose UID was never told may stand."""
        for place, known in enumerate(self.view):
            if known is None:
                before = next((x for x in reversed(self.view[:place]) if x is not None), 0)
                after = next((x for x in self.view[place:] if x is not None), NEVER)
                if before < uid < after:
                    return place
        raise Fault(f"VANISHED {uid}, which is not in the view {self.view} (RFC 7162 3.2.10)")

    def vanished_earlier(self, uids):
        if self.selecting is not None:
            if self.selecting.details["cache"] is None:
                raise Fault("VANISHED (EARLIER) and no QRESYNC parameter")
            self.selecting.details["vanished"].update(uids)
        elif self.pending and self.pending[0].name == b"UID FETCH":
            command = self.pending[0]
            command.vanished = (command.vanished or set()) | set(uids)
        else:
            raise Fault("VANISHED (EARLIER) that nobody asked for")
        for uid in uids:
            message = self.box.messages.get(uid)
            if message is not None and not message.may_go:
                raise Fault(f"VANISHED (EARLIER) {uid}, which no command can have expunged")

    # ---- FETCH ----

    def fetch(self, number, items):
        self.need_mailbox("FETCH")
        if self.selecting is not None and self.closed_old:
            if number in self.selecting.details["fetched"]:
                raise Fault(f"FETCH {number} twice at SELECT")
            self.selecting.details["fetched"][number] = items
            return
        if not 1 <= number <= len(self.view):
            raise Fault(f"FETCH {number} of {len(self.view)}")
        uid = self.view[number - 1]
        if items.uid is not None and items.uid != uid:
            if uid is not None:
                raise Fault(f"FETCH {number} is UID {items.uid}, and was {uid}")
            self.learn(number - 1, items.uid)
            uid = items.uid
        if uid is None:
            return
        if self.condstore and items.flags is not None and items.modseq is None and \
                not (self.pending and self.pending[0].name in (b"FETCH", b"UID FETCH")):
            raise Fault("FETCH FLAGS without MODSEQ after CONDSTORE was enabled (RFC 7162 3.1)")
        self.learn_flags(uid, items)
        if items.sections is not None or items.size is not None or items.date is not None:
            self.world.judge_content(self.box, uid, items)
        if self.pending:
            self.note_for_command(uid, items)

    def learn(self, place, uid):
        before = next((x for x in reversed(self.view[:place]) if x is not None), 0)
        after = next((x for x in self.view[place + 1:] if x is not None), NEVER)
        if not before < uid < after:
            raise Fault(f"UID {uid} at {place + 1}, between {before} and {after}")
        self.view[place] = uid
        self.uids.add(uid)

    def learn_flags(self, uid, items):
        flags, modseq = items.flags, items.modseq
        message = self.box.told(uid, flags, modseq, self.selected_at)
        if modseq is not None:
            known = self.modseqs.get(uid)
            if known is not None:
                if modseq < known:
                    raise Fault(f"UID {uid}: MODSEQ {modseq} after {known}")
                if modseq != known and modseq <= self.synced:
                    raise Fault(f"UID {uid}: MODSEQ {modseq} is told now, and not when all up to "
                                f"{self.synced} was")
            self.modseqs[uid] = modseq
        if flags is not None:
            if modseq is None and self.condstore and self.flags.get(uid) != flags:
                self.modseqs.pop(uid, None)  # that of other flags
            self.flags[uid] = flags
            keyword = self.client.keyword
            writes = message.writes.get(keyword)
            value = 0
            if not writes:
                value = message.base_value(keyword)
            elif len(writes) == 1 and writes[0].end != NEVER and writes[0].author is self.client:
                value = message.possible(keyword)
            if value and value != EITHER and (keyword in flags) != (value == ON):
                raise Fault(f"UID {uid} {'lacks' if value == ON else 'has'} {keyword!r} of "
                            f"{self.client.name}, whose change was answered")

    def note_for_command(self, uid, items):
        told = self.pending[0].told.get(uid)
        if told is None:
            told = self.pending[0].told[uid] = Told()
        if items.uid is not None:
            told.has_uid = True
        if items.flags is not None:
            told.flags = items.flags
        if items.modseq is not None:
            told.modseq = items.modseq
        if items.size is not None:
            told.size = items.size
        if items.date is not None:
            told.date = items.date
        if items.sections is not None:
            told.sections = (told.sections or []) + items.sections

    # ---- after NOOP ----

    def is_complete(self):
        """Whether UID and flags (and MODSEQ) of every message are known."""
        return len(self.flags) == len(self.view) and \
            (not self.condstore or len(self.modseqs) == len(self.view))

    def check_synced(self, start):
        """NOOP, CHECK or a like command that was sent at `start` was answered."""
        missing = self.missing(start)
        if missing is not None:
            raise Fault(missing)
        if self.condstore and self.is_complete() and self.modseqs:
            self.synced = max(self.synced, max(self.modseqs.values()))

    def missing(self, start):
        """A sentence about something that was answered to anybody before `start` and was not told
        here; or None."""
        box = self.box
        changes = box.changes
        while self.changes_at < len(changes) and changes[self.changes_at][0] < start:
            _, uid, flag = changes[self.changes_at]
            flags = self.flags.get(uid)
            message = box.messages.get(uid)
            if flags is not None and message is not None:
                value = message.settled(flag, start)
                if value and (flag in flags) != (value == ON):
                    return (f"UID {uid}: {flag!r} was {'set' if value == ON else 'taken'} before and "
                            f"is not told; known: {sorted(flags)}")
            self.changes_at += 1
        unknown = len(self.view) - len(self.uids)
        events = box.events
        while self.events_at < len(events) and events[self.events_at][0] < start:
            _, uid, is_there = events[self.events_at]
            message = box.messages.get(uid)
            if message is not None:
                if is_there and uid not in self.uids and not message.may_go and not unknown:
                    return f"UID {uid} was appended before and is not told"
                if not is_there and uid in self.uids:
                    return f"UID {uid} was expunged before and is not told"
            self.events_at += 1
        return None
