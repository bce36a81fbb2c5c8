#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Power cuts for a store: powercut.py PROGRAM MODULE.so CUTS [--skip POINT]... [--seed N] [--commit S]

An ext4 image on a loop device holds the store. Two writers commit; at a random
instant they are stopped, the *backing file* is copied, and the copy is mounted:
only what reached the device is there. Everything that was acknowledged before
the cut must be on the copy, whole, once; verify must find no damage. What the
page cache held and nobody flushed is gone, which kill -9 cannot show.

It does not model reordered or torn writes of the device.

--skip store.segment.flush leaves that flush out: then the cuts must lose mail.
Needs root and loop devices. Exits 0 if nothing was lost, 1 if something was,
2 if it could not run.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True)


class Image:
    def __init__(self, path, mountpoint, options):
        self.path = path
        self.mountpoint = mountpoint
        os.makedirs(mountpoint, exist_ok=True)
        run("mount", "-o", "loop," + options, path, mountpoint)

    def close(self):
        for _ in range(100):
            if subprocess.run(["umount", self.mountpoint], capture_output=True).returncode == 0:
                return
            time.sleep(0.02)  # a killed process may not have let go yet
        subprocess.run(["umount", "-l", self.mountpoint])


def cut(arguments, work, random_source):
    image = os.path.join(work, "image")
    copy = os.path.join(work, "copy")
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    environment = dict(os.environ)
    if arguments.skip:
        environment["POSTERN_FAULT"] = ",".join(point + "=skip" for point in arguments.skip)
    mounted = Image(image, os.path.join(work, "live"), "commit=%d" % arguments.commit)
    writers = []
    acks = [os.path.join(work, "acks%d" % number) for number in range(2)]
    try:
        # The empty store is made and on the device before anything is measured.
        subprocess.run([arguments.program, "--write", "9", "1", arguments.module,
                        mounted.mountpoint], check=True, stdout=subprocess.DEVNULL)
        run("sync", "-f", mounted.mountpoint)
        for number, path in enumerate(acks):
            with open(path, "wb") as output:
                writers.append(subprocess.Popen(
                    [arguments.program, "--write", str(number), "0", arguments.module,
                     mounted.mountpoint], stdout=output, env=environment))
        time.sleep(random_source.uniform(0.02, 0.6))  # the instant is what is random
        for writer in writers:
            writer.send_signal(signal.SIGSTOP)
        # What was acknowledged by now was acknowledged before the copy is made.
        acknowledged = b"".join(open(path, "rb").read() for path in acks)
        shutil.copyfile(image, copy)
    finally:
        for writer in writers:
            writer.kill()
        for writer in writers:
            writer.wait()
        mounted.close()
    mounted = Image(copy, os.path.join(work, "cut"), "commit=5")
    try:
        checked = subprocess.run(
            [arguments.program, "--check", arguments.module, mounted.mountpoint],
            input=acknowledged, capture_output=True)
    finally:
        mounted.close()
    count = acknowledged.count(b"ack ")
    return count, checked.returncode, checked.stdout.decode() + checked.stderr.decode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("module")
    parser.add_argument("cuts", type=int)
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--commit", type=int, default=300)
    arguments = parser.parse_args()
    arguments.program = os.path.abspath(arguments.program)
    arguments.module = os.path.abspath(arguments.module)
    if os.geteuid() != 0:
        print("powercut: needs root")
        return 2
    print("seed %d, %d cuts, journal commit=%ds%s" % (
        arguments.seed, arguments.cuts, arguments.commit,
        "".join(", without " + point for point in arguments.skip)))
    random_source = random.Random(arguments.seed)
    total = bad = 0
    for number in range(arguments.cuts):
        work = tempfile.mkdtemp(prefix="powercut")
        try:
            count, status, text = cut(arguments, work, random_source)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        total += count
        if status != 0:
            bad += 1
            lines = text.strip().splitlines()
            print("cut %d: status %d after %d acknowledged: %s" % (
                number, status, count, lines[-1] if lines else ""))
    print("%d cuts, %d acknowledged, %d cuts with loss or damage" % (arguments.cuts, total, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
