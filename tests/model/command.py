# SPDX-License-Identifier: Apache-2.0
"""A command that was sent, and what came for it."""

from wire import Fault


class Command:
    """A command that was sent, and what came for it."""
    __slots__ = ("name", "text", "tag", "start", "uids", "on_done", "status", "code", "argument",
                 "told", "found", "vanished", "untagged_codes", "box", "floor", "details", "more",
                 "went", "wants_go")

    def __init__(self, name, text, uids=(), on_done=None, box=None, more=(), details=None):
        self.name = name            # b"FETCH", b"UID FETCH" …
        self.text = text            # without tag and CRLF
        self.more = more            # what follows "+ …", piece by piece
        self.uids = uids            # of the messages that it names
        self.on_done = on_done
        self.box = box
        self.details = details
        self.tag = None
        self.start = 0
        self.floor = 0
        self.status = None
        self.code = self.argument = None
        self.told = {}              # uid -> Items of the last FETCH meanwhile (merged)
        self.found = None           # the numbers of SEARCH, or its ESEARCH text
        self.vanished = None        # VANISHED (EARLIER)
        self.untagged_codes = []
        self.went = False
        self.wants_go = False


class Told:
    """What the FETCH responses during one command said of a message."""
    __slots__ = ("flags", "modseq", "has_uid", "sections", "size", "date")

    def __init__(self):
        self.flags = self.modseq = self.sections = self.size = self.date = None
        self.has_uid = False


def must_be_ok(command):
    if command.status != b"OK":
        raise Fault(f"{command.text[:80]!r} was answered with {command.status!r} {command.code!r}")
