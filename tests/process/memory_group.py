# SPDX-License-Identifier: Apache-2.0
"""A group of processes (cgroup) that together may have so much memory and no more: root's, where there are
such groups at all."""

import errno
import os
import time

ROOTS = (("/sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), None),
         ("/sys/fs/cgroup", ("memory.max",), ("memory.swap.max", "0")))


class MemoryGroup:
    """One group; make() tells whether there can be one."""

    def __init__(self, path):
        self.path = path

    @classmethod
    def make(cls, megabytes):
        """A group of that size, or None."""
        for root, limits, swap in ROOTS:
            group = cls(os.path.join(root, f"postern-test-{os.getpid()}"))
            try:
                os.mkdir(group.path)
            except OSError:
                continue
            try:
                group.write(limits[0], str(megabytes << 20))
                for name, value in [(name, str(megabytes << 20)) for name in limits[1:]] + ([swap] if swap else []):
                    if os.path.exists(os.path.join(group.path, name)):
                        group.write(name, value)
                return group
            except OSError:
                group.remove()
        return None

    def write(self, name, value):
        """One of the files that the group is made of."""
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(value)

    def take(self, *pids):
        """These processes, and whom they start from now on."""
        for pid in pids:
            try:
                self.write("cgroup.procs", str(pid))
            except ProcessLookupError:
                pass

    def remove(self):
        """When all its processes have ended: the kernel may take a moment to see that."""
        deadline = time.monotonic() + 30
        while True:
            try:
                os.rmdir(self.path)
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)
