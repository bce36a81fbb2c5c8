# SPDX-License-Identifier: Apache-2.0
"""SEARCH of things that a client knows, and what its result must be."""

from box import EITHER, ON
from command import Command, must_be_ok
from wire import Fault, parse_set


class Searching:
    """A part of what clients can do (actions.py)."""

    def saved(self):
        """SEARCHRES (RFC 5182): a search that keeps its result, and a FETCH that uses it."""
        box = self.session.box
        wanted = [uid for _, uid in self.all_known()
                  if box.messages[uid].possible(self.keyword) == ON]
        search = Command(b"UID SEARCH", b"UID SEARCH RETURN (SAVE) KEYWORD " + self.keyword, (),
                         lambda command, now: must_be_ok(command), box)
        fetch = Command(b"UID FETCH", b"UID FETCH $ (FLAGS)", wanted,
                        lambda command, now: self.judge_saved(command), box)
        return [search, fetch]

    def judge_saved(self, command):
        must_be_ok(command)
        for uid in command.uids:
            message = command.box.messages[uid]
            if uid in self.session.uids and not message.may_go and uid not in command.told and all(
                    write.author is self for write in message.writes.get(self.keyword, ())):
                raise Fault(f"FETCH $ leaves out UID {uid}, which has {self.keyword!r}")
        self.world.count("FETCH of a saved result")

    def search(self, by_uid):
        """A search whose result the client knows."""
        session, box, draw = self.session, self.session.box, self.random
        kind = draw.randrange(7)
        lower = None                # uids that must be found; others may
        wants_modseq = False
        known = self.all_known()
        certain = {}
        if kind < 3:
            word = b"KEYWORD " if draw.random() < 0.5 else b"UNKEYWORD "
            for _, uid in known:
                value = box.messages[uid].possible(self.keyword)
                if value != EITHER and all(write.author is self for write in
                                           box.messages[uid].writes.get(self.keyword, ())):
                    certain[uid] = (value == ON) == (word[0:1] == b"K")
            text = word + self.keyword
        elif kind == 3:
            text = b"ALL"
            certain = {uid: True for _, uid in known}
        elif kind == 4:
            some = self.targets(10)
            if not some:
                return None
            wanted = {uid for _, uid in some}
            text = b"UID " + self.set_of(some, True) if draw.random() < 0.5 or by_uid else \
                self.set_of(some, False)
            certain = {uid: uid in wanted for _, uid in known}
        elif kind == 5 and session.condstore and session.modseqs:
            modseq = draw.choice(list(session.modseqs.values()))
            text = b"MODSEQ %d" % modseq
            lower = {uid for uid, known in session.modseqs.items() if known >= modseq}
            wants_modseq = True
        else:
            some = self.targets(1)
            message = box.messages.get(some[0][1]) if some else None
            if message is None or message.token is None:
                return None
            text = b"HEADER X-Model-Id " + message.token
            for _, uid in known:
                other = box.messages[uid].token
                if other is not None:
                    certain[uid] = other == message.token
        if draw.random() < 0.15 and not wants_modseq:
            text = b"NOT (" + text + b")"
            certain = {uid: not value for uid, value in certain.items()}
        returns = None
        if draw.random() < 0.3:
            returns = draw.choice((b"ALL", b"COUNT", b"MIN MAX COUNT ALL", b"", b"MIN MAX", b"SAVE",
                                   b"SAVE ALL"))
        text = self.form(by_uid, b"SEARCH ") + \
            (b"RETURN (%s) " % returns if returns is not None else b"") + text
        size = len(session.view)
        by_keyword = kind < 3
        return Command(self.form(by_uid, b"SEARCH"), text, (), lambda command, now: self.searched(
            command, by_uid, returns, certain, lower, wants_modseq, by_keyword, size), box)

    def searched(self, command, by_uid, returns, certain, lower, wants_modseq, by_keyword, size):
        must_be_ok(command)
        self.world.count("SEARCH")
        if by_keyword:  # what another client replaced meanwhile is open
            certain = {uid: value for uid, value in certain.items() if all(
                write.author is self for write in
                command.box.messages[uid].writes.get(self.keyword, ()))}
        if returns == b"SAVE":
            if command.found is not None and not self.world.lenient:
                raise Fault("a result for RETURN (SAVE) (RFC 5182 2.1)")
            return
        if command.found is None:
            raise Fault("SEARCH without a result")
        kind, text = command.found
        if (kind == b"ESEARCH") != (returns is not None):
            raise Fault(f"{kind.decode()} for {command.text!r}")
        if returns is None:
            numbers, modseq = parse_search(text)
            self.judge_found(command, numbers, by_uid, certain, lower)
        else:
            values = parse_esearch(text, command.tag, by_uid)
            modseq = values.get(b"MODSEQ")
            self.judge_esearch(command, values, returns, by_uid, certain, lower, size)
            numbers = values.get(b"ALL") or values.get(b"COUNT")
        if wants_modseq and numbers and modseq is None:
            raise Fault("SEARCH MODSEQ without (MODSEQ …) (RFC 7162 3.1.5)")
        if modseq is not None and not wants_modseq:
            raise Fault("(MODSEQ …) and it was not searched for")

    def judge_found(self, command, numbers, by_uid, certain, lower):
        session = self.session
        if len(set(numbers)) != len(numbers):
            raise Fault("SEARCH finds a message twice")
        if by_uid:
            found = set(numbers)
        else:
            if any(not 1 <= number <= len(session.view) for number in numbers):
                raise Fault(f"SEARCH finds {numbers} of {len(session.view)}")
            # Its view cannot have shrunk since it was sent, so that the numbers still mean the same.
            found = {session.view[number - 1] for number in numbers}
        messages = command.box.messages
        for uid, value in certain.items():
            if (uid in found) != value and uid in session.uids and not messages[uid].may_go:
                raise Fault(f"{command.text!r} {'finds' if uid in found else 'misses'} UID {uid}")
        for uid in lower or ():
            if uid not in found and uid in session.uids and not messages[uid].may_go:
                raise Fault(f"{command.text!r} misses UID {uid}")

    def judge_esearch(self, command, values, returns, by_uid, certain, lower, size):
        words = set(returns.split()) - {b"SAVE"} or ({b"ALL"} if b"SAVE" not in returns else set())
        extra = set(values) - words - {b"MODSEQ"}
        if extra:
            raise Fault(f"ESEARCH tells {extra}, which was not asked for")
        if b"COUNT" in words and b"COUNT" not in values:
            raise Fault("ESEARCH without COUNT")
        if b"ALL" in words:
            numbers = values.get(b"ALL", [])
            self.judge_found(command, numbers, by_uid, certain, lower)
            if b"COUNT" in words and values[b"COUNT"] != len(numbers):
                raise Fault(f"COUNT {values[b'COUNT']} of {len(numbers)}")
            if b"MIN" in words and values.get(b"MIN") != min(numbers, default=None):
                raise Fault("MIN is not the least of ALL")
            if b"MAX" in words and values.get(b"MAX") != max(numbers, default=None):
                raise Fault("MAX is not the greatest of ALL")
        elif b"COUNT" in words and len(certain) == size == len(self.session.view) and not any(
                command.box.messages[uid].may_go for uid in certain):
            if values[b"COUNT"] != sum(certain.values()):
                raise Fault(f"COUNT {values[b'COUNT']}, must be {sum(certain.values())}")


def parse_search(text):
    """The numbers and the MODSEQ of a SEARCH answer."""
    modseq = None
    if text.endswith(b")"):
        text, _, last = text.rpartition(b"(MODSEQ ")
        modseq = int(last[:-1])
    return [int(word) for word in text.split()], modseq


def parse_esearch(text, tag, by_uid):
    """{word: value} of an ESEARCH answer."""
    head = b'(TAG "%s")' % tag
    if not text.startswith(head):
        raise Fault(f"ESEARCH without its tag (RFC 4466 2.6.2): {text!r}")
    words = text[len(head):].split()
    if by_uid:
        if words[:1] != [b"UID"]:
            raise Fault("ESEARCH of UID SEARCH without UID")
        words = words[1:]
    elif words[:1] == [b"UID"]:
        raise Fault("ESEARCH of SEARCH with UID")
    values = {}
    while words:
        if len(words) < 2:
            raise Fault(f"ESEARCH of no known form: {text!r}")
        word, value = words[:2]
        words = words[2:]
        values[word] = parse_set(value, "ESEARCH") if word == b"ALL" else int(value)
    return values
