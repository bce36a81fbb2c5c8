#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random clients on shared mailboxes, and a model that judges every line they are told.

    run.py --build DIR [--commands N] [--clients N] [--workers N] [--kills K] [--seed S] [--long]
    run.py --connect PORT --password P --accounts A,B,…     with some other server

Prints its seed, and "ok NAME" or "not ok NAME". Commands run in an order of their own each time; the
seed sets what clients do, not when. With --kills single workers get SIGKILL meanwhile.
"""

import argparse
import multiprocessing
import os
import random
import re
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
from gateway import DOMAIN, PASSWORD, SHA512, Gateway, GatewayError  # noqa: E402
from wire import Fault  # noqa: E402
from world import World  # noqa: E402
import mailboxes  # noqa: E402

BOXES = ["INBOX", "work", "archive/old"]
WORLDS = 2


def short(line):
    text = repr(line)[2:-1]
    return text if len(text) < 300 else f"{text[:240]}… ({len(line)} bytes)"


def tell_fault(world, fault):
    """What was wrong, and what the sessions of that mailbox sent and heard before."""
    lines = [f"{type(fault).__name__}: {fault}"]
    culprit = world.culprit
    if culprit is None or culprit.session is None:
        return "\n".join(lines)
    lines.append(f"it was told to {culprit.name}, keyword {culprit.keyword.decode()}"
                 f"{', QRESYNC' if culprit.session.qresync else ''}")
    box = culprit.session.box
    match = re.search(r"UID (\d+)", str(fault))
    message = box.messages.get(int(match.group(1))) if box is not None and match else None
    if message is not None:
        lines.append(f"UID {message.uid}: {message.token!r}, states "
                     f"{[(modseq, sorted(flags)) for modseq, flags in message.states.items()]}")
        lines += [f"  {now} {what}: {flag!r} {('', 'off', 'on', 'either')[value]} by {author.tag!r}"
                  for now, what, flag, value, author in message.log[-40:]]
    sessions = {culprit: culprit.session}
    for client in world.clients:
        if client.session is not None and client.session.box is box and box is not None:
            sessions[client] = client.session
    heard = []
    for client, session in sessions.items():
        count = world.remember if client is culprit else max(1, world.remember // 6)
        for now, side, line in list(session.transcript)[-count:]:
            heard.append((now, client is not culprit, client.tag.decode(), side, line))
    heard.sort(key=lambda each: each[0])
    lines += [f"  {now} {tag} {'  ' if other else '->'} {side}: {short(line)}"
              for now, other, tag, side, line in heard]
    lines.append(lines[0])
    return "\n".join(lines)


def run_world(options, queue):
    """One process: a world, and what became of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    world = World(**options)
    problem = None
    try:
        world.run()
    except Fault as fault:
        problem = tell_fault(world, fault)
    except Exception as fault:  # whatever it is, the others must hear of it
        problem = tell_fault(world, fault) + "\n" + traceback.format_exc()
    queue.put((world.number, problem, world.commands, world.audits, world.cut, world.counts))


def edge_workers(master):
    """The workers that speak with clients."""
    found = []
    try:
        with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
    except OSError:
        return found
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"edge" in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            pass
    return found


def kill_workers(gateway, kills, commands, generator, is_over):
    """SIGKILL for single workers, spread over the run; returns how many there were."""
    done = 0
    pause = max(0.15, min(1.0, commands / 8000 / kills))  # at some 8,000 commands a second
    while done < kills and not is_over():
        until = time.monotonic() + pause * (0.4 + generator.random())
        while time.monotonic() < until and not is_over():
            time.sleep(0.05)
        workers = edge_workers(gateway.process.pid)
        if len(workers) > 1 and not is_over():
            os.kill(generator.choice(workers), signal.SIGKILL)
            done += 1
    return done


def run(arguments, port, password, accounts, gateway=None):
    """The worlds, each in a process; returns the number of failures."""
    mailboxes.make_boxes(port, password, accounts, BOXES)
    queue = multiprocessing.Queue()
    may_end = multiprocessing.Event()  # all kills were done
    share = len(accounts) // WORLDS
    processes = []
    for number in range(WORLDS):
        options = dict(number=number, seed=arguments.seed, port=port, password=password,
                       names=accounts[number * share:(number + 1) * share], boxes=BOXES,
                       clients=arguments.clients // WORLDS, commands=arguments.commands // WORLDS,
                       kills=arguments.kills > 0, lenient=arguments.lenient,
                       remember=arguments.remember, may_end=may_end.is_set)
        processes.append(multiprocessing.Process(target=run_world, args=(options, queue)))
    begin = time.monotonic()
    for process in processes:
        process.start()
    kills = 0
    if gateway is not None and arguments.kills:
        kills = kill_workers(gateway, arguments.kills, arguments.commands,
                             random.Random(arguments.seed),
                             lambda: not all(process.is_alive() for process in processes))
    may_end.set()
    results = []
    while len(results) < len(processes):
        results.append(queue.get())
        if results[-1][1]:
            for process in processes:
                if process.is_alive() and len(results) < len(processes):
                    process.terminate()
            break
    for process in processes:
        process.join()
    seconds = time.monotonic() - begin
    total = sum(result[2] for result in results)
    counts = {}
    for result in results:
        for what, count in result[5].items():
            counts[what] = counts.get(what, 0) + count
    print("# " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    print(f"# {total} commands in {seconds:.1f} s, {total / seconds:.0f} a second; "
          f"{sum(result[3] for result in results)} audits, {kills} workers killed, "
          f"{sum(result[4] for result in results)} sessions cut by that")
    problems = [result[1] for result in results if result[1]]
    for problem in problems:
        print(problem)
    name = "every_line_that_clients_were_told_agrees_with_the_model"
    if arguments.kills:
        name += "_while_workers_are_killed"
    print(f"{'not ok' if problems else 'ok'} model: {name} ({total} commands, seed {arguments.seed})",
          flush=True)
    failed = len(problems)
    if not problems and total >= 5000:
        # A run in which hardly anything happened proves nothing.
        missing = [what for what in ("APPEND", "COPY", "MOVE", "STORE", "STORE with UNCHANGEDSINCE",
                                     "EXPUNGE", "IDLE", "SEARCH", "SELECT", "SELECT with QRESYNC",
                                     "FETCH of a saved result", "cut off", "message left alone by UNCHANGEDSINCE")
                   if not counts.get(what) and
                   not (arguments.lenient and what == "FETCH of a saved result")]
        if missing:
            failed += 1
        print(f"{'not ok' if missing else 'ok'} model: every_kind_of_command_was_there {missing or ''}")
    return failed


def main():
    """Reads the arguments, starts a gateway, and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="where the gateway was built")
    parser.add_argument("--commands", type=int, default=40000)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--long", action="store_true", help="a million commands, 60 kills")
    parser.add_argument("--connect", type=int, help="a port of 127.0.0.1 where some server listens")
    parser.add_argument("--password", default=PASSWORD)
    parser.add_argument("--accounts", default="")
    parser.add_argument("--remember", type=int, default=400,
                        help="lines of a session that are shown where something is wrong")
    parser.add_argument("--lenient", action="store_true",
                        help="others may refuse what touches expunged messages (RFC 2180)")
    arguments = parser.parse_args()
    if arguments.long:
        arguments.commands = max(arguments.commands, 1000000)
    print(f"# seed {arguments.seed}", flush=True)
    if arguments.connect:
        return 1 if run(arguments, arguments.connect, arguments.password,
                        arguments.accounts.split(",")) else 0
    accounts = [f"model{number}@{DOMAIN}" for number in range(4)]
    users = "".join(f"{account}:{SHA512}:\n" for account in accounts)
    try:
        with Gateway(arguments.build, users=users, workers=arguments.workers) as gateway:
            failed = run(arguments, gateway.ports["imap"], PASSWORD, accounts, gateway)
    except GatewayError as error:
        print(f"not ok model: the gateway: {error}")
        failed = 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
