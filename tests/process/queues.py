# SPDX-License-Identifier: Apache-2.0
"""Queue workers: what a destination waits for has one owner, whatever dies or is reloaded."""

import json
import os
import signal
import socket
import threading
import time
import urllib.request

from support import Clients, check, connect, edges, edit, log_text, postern, send_over, status, wait_for


def queue_workers(gateway):
    """Queue workers that are at work: number to pid."""
    return {worker["number"]: worker["pid"] for worker in status(gateway)["workers"]
            if worker["kind"] == "queue" and worker["generation"] > 0}


def queue_processes(master):
    """The processes of queue workers, as the machine has them: pid to number."""
    found = {}
    try:
        with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as file:
            children = file.read().split()
    except OSError:
        return found
    for pid in children:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if words[1:3] == [b"worker", b"queue"] and state != "Z":
            found[int(pid)] = int(words[3])
    return found


class Watch:
    """A thread that notes when each queue worker was first and last seen."""

    def __init__(self, gateway):
        self.master = gateway.process.pid
        self.seen = {}
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ending.is_set():
            now = time.monotonic()
            for pid, number in queue_processes(self.master).items():
                first = self.seen.get(pid, (number, now))[1]
                self.seen[pid] = (number, first, now)
            time.sleep(0.001)

    def stop(self):
        """The workers in the order of their start: (number, first seen, last seen)."""
        self.ending.set()
        self.thread.join()
        return sorted(self.seen.values(), key=lambda worker: worker[1])


ROUTE = """
on("envelope.recipient", function() return accept() end)
on("recipient.route", function(session, recipient)
	recipient:route{ hosts = { "127.0.0.1:%d" } }
end)
"""


def queue_status(gateway):
    """What status says of the queue of the first queue worker."""
    return [one for one in status(gateway)["workers"] if one["kind"] == "queue"][0]["queue"]


def rows_of(gateway):
    """The rows of the queue."""
    done = postern(gateway, "queue", "list", "--all", "--json")
    check(done.returncode == 0, f"queue list: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class QueueTests:
    """Tests of queue workers; each has a gateway of its own."""

    def a_killed_queue_worker_is_started_again(self):
        gateway = self.gateway(settings="queue_workers = 2")
        before = queue_workers(gateway)
        check(sorted(before) == [0, 1], f"the queue workers are {before}")
        serving = edges(gateway)
        os.kill(before[1], signal.SIGKILL)
        after = wait_for(lambda: (now := queue_workers(gateway)).get(1, before[1]) != before[1] and now,
                         "another queue worker 1")
        check(after[0] == before[0], "the other queue worker was replaced, too")
        check(edges(gateway) == serving, "edge workers were replaced")
        check("queue 1 (pid" in log_text(gateway), "the log does not say who died")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken")

    def queue_workers_are_replaced_one_by_one_when_the_old_one_has_ended(self):
        gateway = self.gateway(settings='queue_workers = 3\nwelcome = "one"')
        before = queue_workers(gateway)
        watch = Watch(gateway)
        clients = Clients(gateway, 2)
        edit(gateway, 'welcome = "one"', 'welcome = "two"')
        done = postern(gateway, "reload")
        check(done.returncode == 0, f"reload: {done.stderr}")
        after = wait_for(lambda: len(now := queue_workers(gateway)) == 3 and
                         not set(now.values()) & set(before.values()) and now, "three others")
        sessions = clients.stop()
        seen = watch.stop()
        check(sorted(after) == [0, 1, 2], f"the queue workers are {after}")
        check(len(seen) == 6, f"{len(seen)} queue workers were seen: {seen}")
        for number in range(3):
            old, new = [worker for worker in seen if worker[0] == number]
            check(old[2] < new[1], f"two queue workers {number} at a time")
        first, second, third = seen[3:]
        check(second[1] > min(worker[2] for worker in seen[:3]) and third[1] > second[1],
              "they were not replaced one by one")
        least = min(sum(worker[1] <= at <= worker[2] for worker in seen)
                    for at in (seen[3][1], seen[4][1], seen[5][1]))
        check(least >= 2, "more than one queue worker was away at a time")
        check(all(problem is None for _, _, _, problem in sessions), "sessions were ended")

    def another_number_of_queue_workers_deals_the_queue_out_anew(self):
        gateway = self.gateway(settings="queue_workers = 2")
        serving = edges(gateway)
        for wanted in (5, 1):
            before = queue_workers(gateway)
            watch = Watch(gateway)
            edit(gateway, f"queue_workers = {len(before)}", f"queue_workers = {wanted}")
            done = postern(gateway, "reload")
            check(done.returncode == 0, f"reload: {done.stderr}")
            wait_for(lambda: sorted(queue_workers(gateway)) == list(range(wanted)) and
                     len(queue_processes(gateway.process.pid)) == wanted, f"{wanted} queue workers")
            seen = watch.stop()
            old, new = seen[:len(before)], seen[len(before):]
            check(len(new) == wanted, f"of {len(before)} and then {wanted} were seen: {seen}")
            check(max(worker[2] for worker in old) < min(worker[1] for worker in new),
                  "workers with another number of them at a time")
            check(not set(before.values()) & set(queue_workers(gateway).values()), "an old one stayed")
        check(edges(gateway) == serving, "edge workers were replaced")

    def queue_workers_take_a_new_generation_without_being_replaced(self):
        gateway = self.gateway()
        before = queue_workers(gateway)
        check(sorted(before) == [0], f"the queue workers are {before}")
        edit(gateway, 'stop_grace = "2s"', 'stop_grace = "3s"')
        check(postern(gateway, "reload").returncode == 0, "reload")
        check(queue_workers(gateway) == before, "the queue worker was replaced")
        worker, = [one for one in status(gateway)["workers"] if one["kind"] == "queue"]
        check(worker["generation"] == 2, f"it uses generation {worker['generation']}")

    def queue_workers_have_no_socket_of_the_listeners(self):
        gateway = self.gateway()
        pid = queue_workers(gateway)[0]
        sockets = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        with open("/proc/net/tcp", encoding="ascii") as file:
            listening = {f"socket:[{line.split()[9]}]" for line in list(file)[1:]
                         if line.split()[3] == "0A"}
        check(not sockets & listening, "a queue worker holds a listening socket")

    def status_and_metrics_tell_of_the_queue(self):
        gateway = self.gateway()
        worker, = [one for one in status(gateway)["workers"] if one["kind"] == "queue"]
        check(worker["queue"]["recipients"] == 0 and "deferred" in worker["queue"],
              f"status says {worker}")
        text = postern(gateway, "status").stdout
        check("queued 0, in memory 0" in text, f"status says {text}")
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.ports['control']}/metrics",
                                    timeout=10) as answer:
            metrics = answer.read().decode()
        check("\npostern_queue_recipients 0\n" in metrics, "no metric of the queue")
        check('\npostern_queue_delivered_total{worker="queue-0"} 0\n' in metrics,
              "no metric of the queue worker")
        check('postern_queue_delivered_total{worker="edge' not in metrics,
              "edge workers have metrics of the queue")

    def a_delivery_that_hangs_does_not_keep_the_gateway_from_stopping(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            gateway = self.gateway(start=False, more='module "deliver_smtp" {}\npolicy { "route.lua" }')
            gateway.write("route.lua", ROUTE % server.getsockname()[1])
            gateway.start()
            for number in range(3):
                with connect(gateway) as client:
                    check(send_over(client, recipient=f"a{number}@remote.test")[0] == 250, "not accepted")
            wait_for(lambda: queue_status(gateway)["connections"] > 0, "a connection")
            # It begins to greet, and says no more.
            connection, _ = server.accept()
            connection.sendall(b"220-one moment")
            wait_for(lambda: queue_status(gateway)["delivering"] > 0, "a delivery")
            before = rows_of(gateway)
            began = time.monotonic()
            gateway.stop()
            took = time.monotonic() - began
            check(took > 1.5, f"it stopped after {took:.1f} s; the grace is 2 s")
            after = rows_of(gateway)
            check([row["id"] for row in after] == [row["id"] for row in before] and len(after) == 3, after)
            check(all(row["attempts"] == 0 for row in after), f"it counts as an attempt: {after}")
            connection.close()
