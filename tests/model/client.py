# SPDX-License-Identifier: Apache-2.0
"""A random client: connects, logs in, works in mailboxes, leaves or is cut off, and comes back.

script() is a generator. What it yields is a function that says whether it can go on.
"""

import random
import socket

from actions import Actions
from command import Command, must_be_ok
from session import Session
from wire import Fault, format_set

IDLE_TIMEOUT = 20.0


class Disconnected(Exception):
    """The connection ended."""


class Client(Actions):
    """One user's mail program. `keyword` is set and taken by no other client alone."""

    def __init__(self, world, number, account):
        self.world = world
        self.name = f"client {number} of {account.name}"
        self.tag = b"c%dx" % number
        self.keyword = b"k%02d" % number
        self.account = account
        self.random = random.Random(f"{world.seed}/{number}")
        self.session = None
        self.caches = {}            # box -> (view, flags, modseqs, modseq, is_whole)
        self.parked = 0
        self.running = None
        self.can_go_on = None
        self.wishes = None

    # ---- running ----

    def begin(self):
        self.running = self.script()
        self.step(None)

    def step(self, error):
        """Runs until it waits for something."""
        try:
            self.can_go_on = self.running.throw(error) if error else next(self.running)
            while self.can_go_on():
                self.can_go_on = next(self.running)
        except StopIteration:
            self.can_go_on = lambda: False

    def poke(self):
        """Something happened."""
        if self.can_go_on():
            self.step(None)

    def lost(self):
        """The connection ended."""
        self.keep_cache()
        self.session = None
        self.step(Disconnected())

    def keep_cache(self):
        session = self.session
        if session is None or session.box is None or not session.qresync or not session.synced or \
                session.selecting is not None:
            return
        view = [uid for uid in session.view if uid is not None and uid in session.flags
                and uid in session.modseqs]
        self.caches[session.box] = (view, dict(session.flags), dict(session.modseqs), session.synced,
                                    len(view) == len(session.view))

    # ---- the script ----

    def script(self):
        while True:
            try:
                yield from self.connect()
                yield from self.work()
            except Disconnected:
                self.parked = 0

    def finished(self):
        return not self.session.pending

    def run(self, commands, prefix=b""):
        """Sends commands, pipelined, and waits until all are answered."""
        self.session.send(commands, prefix)
        yield self.finished

    def connect(self):
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self.world.port), 20)
                break
            except OSError:
                again = self.world.seconds() + 0.1
                yield lambda: self.world.seconds() > again
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self.session = session = Session(self.world, self, connection)
        self.world.connected(self)
        yield lambda: session.greeted
        user = f'LOGIN "{self.account.name}" "{self.world.password}"'.encode()
        login = Command(b"LOGIN", user, (), lambda command, now: must_be_ok(command))
        yield from self.run([login])
        if login.code == b"CAPABILITY":
            session.capabilities = frozenset(login.argument.split())
        else:
            yield from self.run([Command(b"CAPABILITY", b"CAPABILITY")])
        kind = self.random.random()
        if kind < 0.45:
            yield from self.run([Command(b"ENABLE", b"ENABLE QRESYNC",
                                         (), lambda command, now: must_be_ok(command))])
            session.qresync = session.condstore = True
        elif kind < 0.65:
            yield from self.run([Command(b"ENABLE", b"ENABLE CONDSTORE",
                                         (), lambda command, now: must_be_ok(command))])
            session.condstore = True

    def work(self):
        session, draw = self.session, self.random
        while True:
            if self.world.barrier:
                yield from self.stand_still()
                continue
            kind = draw.random()
            if session.box is None:
                if kind < 0.1:
                    yield from self.run([self.append(draw.choice(self.account.boxes))])
                elif kind < 0.2:
                    yield from self.run([self.status(draw.choice(self.account.boxes))])
                else:
                    yield from self.select()
            elif kind < 0.012:
                yield from self.select()
            elif kind < 0.018:
                yield from self.leave()
            elif kind < 0.03:
                yield from self.idle()
            elif kind < 0.04 and not session.read_only:
                yield from self.run([self.close() if draw.random() < 0.5 else self.unselect()])
            else:
                yield from self.run(self.batch())
            if session.box is not None and len(session.view) > len(session.uids) and \
                    draw.random() < 0.6:
                yield from self.learn_new()

    def batch(self):
        """Some commands to be pipelined. Those with message numbers come first and allow no
        EXPUNGE, so that the numbers mean the same to both sides."""
        session, draw = self.session, self.random
        by_uid = draw.random() < 0.5
        commands = []
        if by_uid and draw.random() < 0.05 and not self.world.lenient:
            commands = self.saved()
        # Some servers answer pipelined commands in another order (RFC 3501 5.5).
        most = 1 if self.world.lenient else 6
        while draw.random() < 0.6 and len(commands) < most:
            commands.append(self.small(by_uid))
        if self.world.lenient and commands and commands[0] is not None:
            return commands
        if draw.random() < 0.45 or not commands:
            commands.append(self.last(by_uid))
        return [command for command in commands if command is not None] or [self.noop()]

    def small(self, by_uid):
        session, draw = self.session, self.random
        kind = draw.random()
        if kind < 0.12:
            return self.search(by_uid)
        if kind < 0.2 and session.condstore:
            return self.fetch_changed(by_uid)
        targets = self.targets()
        if not targets:
            return None
        if kind < 0.6 or session.read_only and kind < 0.95:
            return self.fetch(by_uid, targets)
        return self.store(by_uid, targets)

    def last(self, by_uid):
        session, draw = self.session, self.random
        size = len(session.view)
        kind = draw.random()
        targets = self.targets()
        if session.read_only:
            return self.noop() if kind < 0.9 else self.expunge()
        if size < 6 or kind < 0.1 and size < 40:
            if kind < 0.7 or not targets:
                return self.append(session.box if draw.random() < 0.7
                                   else draw.choice(self.account.boxes))
            return self.copy(by_uid, targets, draw.choice(self.account.boxes), False)
        if kind < 0.45 or not targets:
            return self.noop()
        if kind < 0.5:
            return self.status(draw.choice(self.account.boxes))
        if kind < 0.56 and size < 40:
            return self.copy(by_uid, targets[:4], draw.choice(self.account.boxes), False)
        if kind < 0.62:
            return self.copy(by_uid, targets[:4], draw.choice(self.account.boxes), True)
        if kind < 0.74:
            return self.store(by_uid, targets[:5], True)
        if kind < 0.83:
            return self.expunge()
        if kind < 0.9:
            return self.expunge(targets)
        return self.noop()

    def select(self, box=None):
        """SELECT or EXAMINE, with QRESYNC where the client has a cache."""
        session, draw = self.session, self.random
        self.keep_cache()
        box = box or draw.choice(self.account.boxes)
        read_only = draw.random() < 0.1
        text = (b"EXAMINE " if read_only else b"SELECT ") + box.name.encode()
        cache = self.caches.get(box) if session.qresync and draw.random() < 0.85 else None
        known = b""
        if cache is not None:
            known = self.match_data(cache)
            text += b" (QRESYNC (%d %d%s))" % (box.validity, cache[3], known)
        elif draw.random() < 0.1:
            text += b" (CONDSTORE)"
            session.condstore = True
        command = Command(b"SELECT", text, (), None, box)
        session.begin_select(command, box, read_only, cache, known != b"")
        yield from self.run([command])
        self.world.count("SELECT with QRESYNC" if cache is not None else "SELECT")
        if session.view and (cache is None and draw.random() < 0.8 or
                             cache is not None and draw.random() < 0.4):
            yield from self.fetch_all()
            if cache is None and session.is_complete():
                session.synced = session.selected_highest
        elif not session.view:
            session.synced = session.selected_highest

    def match_data(self, cache):
        """The optional arguments of QRESYNC."""
        view, is_whole = cache[0], cache[4]
        if not view or self.random.random() < 0.4:
            return b""
        known = b" " + format_set(view)
        if self.random.random() < 0.2 or not is_whole:
            known = b" 1:%d" % view[-1]
        if not is_whole or self.random.random() < 0.5:
            return known
        places = sorted({len(view) * step // 4 for step in range(4)})
        return known + b" (%s %s)" % (format_set([place + 1 for place in places]),
                                      format_set([view[place] for place in places]))

    def fetch_all(self):
        """FETCH 1:* as clients do it after SELECT; every message must be told."""
        session = self.session
        wanted = b"(UID FLAGS MODSEQ)" if session.condstore else b"(UID FLAGS)"
        by_uid = self.random.random() < 0.5
        command = Command(self.form(by_uid, b"FETCH"), self.form(by_uid, b"FETCH") + b" 1:* " + wanted,
                          (), lambda command, now: must_be_ok(command), session.box)
        size = len(session.view)
        yield from self.run([command])
        if not by_uid and None in session.view[:size]:
            raise Fault(f"FETCH 1:* left out messages: {session.view}")

    def learn_new(self):
        """The UIDs and flags of messages that EXISTS announced."""
        session = self.session
        first = next(place for place, uid in enumerate(session.view) if uid is None) + 1
        wanted = b"(UID FLAGS MODSEQ)" if session.condstore else b"(UID FLAGS)"
        if self.random.random() < 0.3:
            wanted = wanted[:-1] + b" BODY.PEEK[HEADER.FIELDS (X-Model-Id)])"
        size = len(session.view)
        if self.random.random() < 0.3 and first > 1 and session.view[first - 2] is not None:
            name = b"UID FETCH"
            text = b"UID FETCH %d:* " % (session.view[first - 2] + 1) + wanted
        else:
            name = b"FETCH"
            text = b"FETCH %d:%d " % (first, size) + wanted
        command = Command(name, text, (), lambda command, now: must_be_ok(command), session.box)
        yield from self.run([command])
        if name == b"FETCH" and None in session.view[:size]:
            raise Fault(f"{text!r} left out messages: {session.view}")

    def idle(self):
        """IDLE until a while is over and everything that happened was told."""
        session, world = self.session, self.world
        command = Command(b"IDLE", b"IDLE", (), lambda command, now: must_be_ok(command), session.box)
        command.wants_go = True
        session.send([command])
        yield lambda: command.went
        until = world.commands + self.random.randrange(400)
        give_up = world.seconds() + 0.5
        yield lambda: world.commands > until or world.barrier or world.seconds() > give_up
        start = world.tick()
        deadline = world.seconds() + IDLE_TIMEOUT

        def everything_told():
            missing = session.missing(start)
            if missing is not None and world.seconds() > deadline:
                raise Fault(f"IDLE for {IDLE_TIMEOUT} s: {missing}")
            return missing is None

        yield everything_told
        world.count("IDLE")
        commands = []
        if not world.barrier and self.random.random() < 0.4:
            commands = [self.noop()]
        session.transcript.append((world.now, "C", b"DONE"))
        yield from self.run(commands, b"DONE\r\n")

    def leave(self):
        """LOGOUT, or the connection is cut."""
        session = self.session
        kind = self.random.random()
        if kind < 0.3:
            self.keep_cache()
            yield from self.run([Command(b"LOGOUT", b"LOGOUT", (),
                                         lambda command, now: must_be_ok(command))])
            if not session.logged_out:
                raise Fault("LOGOUT without BYE")
        elif kind < 0.6:
            # Commands whose answers nobody waits for.
            session.send([self.small(True) or self.noop()])
            self.world.expects_end.add(session)
            try:
                session.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it is gone already
            yield lambda: False
        self.world.count("cut off")
        self.world.close(self)
        self.keep_cache()
        self.session = None
        raise Disconnected()

    def stand_still(self):
        """Phase 1: nothing under way. Phase 2: NOOP, and nothing more."""
        if self.world.barrier == 2 and self.session.box is not None:
            yield from self.run([self.noop()])
        phase = self.parked = self.world.barrier
        yield lambda: self.world.barrier != phase
        self.parked = 0
