# SPDX-License-Identifier: Apache-2.0
"""SELECT and EXAMINE: what they must tell, and what a cache becomes with QRESYNC."""

from wire import Fault


class Selecting:
    """A part of a session (session.py)."""

    # ---- SELECT ----

    def begin_select(self, command, box, read_only, cache, known_only=False):
        """SELECT or EXAMINE goes out. `cache` is (view, flags, modseqs, modseq, is_whole) for
        QRESYNC; `known_only`: the UIDs of the cache are named."""
        self.selecting = command
        command.details = {"box": box, "read_only": read_only, "cache": cache,
                           "known_only": known_only, "top_uid": box.top_uid}
        self.closed_old = False
        if self.box is None:
            self.start_view()

    def start_view(self):
        """What comes from here on is about the mailbox that is being selected."""
        command = self.selecting
        details = command.details
        self.forget_mailbox()
        self.selecting = command
        self.closed_old = True
        self.box = details["box"]
        self.read_only = details["read_only"]
        self.selected_at = command.start
        self.changes_at = len(self.box.changes)
        self.events_at = len(self.box.events)
        details["exists"] = None
        details["vanished"] = set()
        details["fetched"] = {}

    def selected(self, command):
        """The tagged answer to SELECT: everything that must have come has come, and fits."""
        details = command.details
        box = details["box"]
        if command.status != b"OK":
            self.forget_mailbox()
            raise Fault(f"SELECT {box.name} was refused")
        if self.box is not box:
            if not self.closed_old and (self.condstore or self.qresync):
                raise Fault("SELECT from a selected mailbox without [CLOSED] (RFC 7162 3.2.11)")
            raise Fault("SELECT of another mailbox did not begin")
        if (command.code == b"READ-ONLY") != details["read_only"]:
            raise Fault(f"SELECT or EXAMINE was answered with {command.code!r}")
        if self.world.lenient:
            details.setdefault("HIGHESTMODSEQ", b"0" if not self.condstore else None)
        for wanted in ("UIDVALIDITY", "UIDNEXT", "PERMANENTFLAGS", "HIGHESTMODSEQ", "FLAGS"):
            if wanted not in details:
                raise Fault(f"SELECT without {wanted}")
        if details["exists"] is None:
            raise Fault("SELECT without EXISTS")
        validity = int(details["UIDVALIDITY"])
        if box.validity is None:
            box.validity = validity
        if box.validity != validity:
            raise Fault(f"UIDVALIDITY {validity}, which was {box.validity}")
        highest = int(details["HIGHESTMODSEQ"])
        if highest < command.floor and not (self.world.lenient and highest == 0):
            raise Fault(f"HIGHESTMODSEQ {highest}, and {command.floor} was told before")
        box.highest = max(box.highest, highest)
        self.selected_highest = highest
        exists = details["exists"]
        self.selecting = None
        if details["cache"] is not None:
            self.resynchronised(details, exists)
            if self.is_complete():
                self.synced = highest
        else:
            self.view = [None] * exists
            for number, items in details["fetched"].items():
                raise Fault(f"SELECT told FETCH {number} and nobody asked")
        if int(details["UIDNEXT"]) <= max(details["top_uid"], max(self.uids, default=0)):
            raise Fault(f"UIDNEXT is not above all UIDs; {details['top_uid']} was told before")
        known = sum(1 for message in box.messages.values()
                    if message.is_acknowledged and message.base_end < command.start
                    and not message.may_go)
        if exists < known:
            raise Fault(f"EXISTS {exists}, and {known} messages must be there")

    def resynchronised(self, details, exists):
        """QRESYNC: the cache, less what vanished, with what was told, must be the mailbox."""
        view, flags, modseqs, modseq, _ = details["cache"]
        uids = set(view) - details["vanished"]
        fetched = details["fetched"]
        for items in fetched.values():
            if items.uid is None or items.flags is None or items.modseq is None:
                raise Fault("FETCH at QRESYNC lacks UID, FLAGS or MODSEQ (RFC 7162 3.2.5.1)")
            if items.uid in details["vanished"]:
                raise Fault(f"UID {items.uid} vanished and is told at once")
            uids.add(items.uid)
        # RFC 7162 3.2.5.1: with a list of known UIDs only these are reported; what came behind them
        # is counted by EXISTS.
        unknown = exists - len(uids)
        if unknown < 0 or unknown and not details["known_only"]:
            raise Fault(f"QRESYNC since {modseq}: the cache of {len(view)} UIDs becomes "
                        f"{sorted(uids)}, EXISTS says {exists}; cached {view}")
        self.view = sorted(uids) + [None] * unknown
        self.uids = uids
        self.flags = {uid: flags[uid] for uid in uids if uid in flags}
        self.modseqs = {uid: modseqs[uid] for uid in uids if uid in modseqs}
        for number, items in fetched.items():
            if number > exists or self.view[number - 1] != items.uid:
                raise Fault(f"QRESYNC told {number} FETCH of UID {items.uid}; the view is {self.view}")
            self.box.told(items.uid, items.flags, items.modseq, self.selected_at)
            self.flags[items.uid] = items.flags
            self.modseqs[items.uid] = items.modseq
        for uid in uids:
            self.box.told(uid, None, None, self.selected_at)
