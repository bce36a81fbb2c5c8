# SPDX-License-Identifier: Apache-2.0
"""postern key new and show: what they make signs mail, and what they print verifies it."""

import json
import os
import re
import stat
import subprocess
import tempfile

from support import check

LETTER = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: x\r\n\r\nhello\r\n"


class Keys:
    def __init__(self, gateway):
        self.postern = os.path.join(gateway.build, "postern")

    def _run(self, *words, text=None):
        return subprocess.run([self.postern, *words], input=text, capture_output=True, timeout=120, check=False)

    def _new(self, path, *words):
        return self._run("key", "new", "--domain", "example.org", "--selector", "s1", "--file", path, *words)

    def what_is_made_signs_and_what_is_printed_verifies(self):
        with tempfile.TemporaryDirectory(prefix="postern-test-") as directory:
            for words in ((), ("--bits", "1024"), ("--bits", "4096"), ("--algorithm", "ed25519-sha256"),
                          ("--algorithm", "rsa-sha256", "--bits", "2048")):
                path = os.path.join(directory, "-".join(("key", *words)))
                made = self._new(path, *words)
                check(made.returncode == 0, made.stderr)
                check(stat.S_IMODE(os.stat(path).st_mode) == 0o600, "others can read it")
                check(max(len(part) for part in re.findall(rb'"([^"]*)"', made.stdout)) <= 255, made.stdout)
                shown = self._run("key", "show", "--domain", "example.org", "--selector", "s1", "--file", path)
                check(shown.stdout == made.stdout, shown.stdout)
                said = json.loads(self._run("key", "show", "--domain", "example.org", "--selector", "s1", "--file", path,
                                           "--json").stdout)
                parts = b"".join(re.findall(rb'"([^"]*)"', made.stdout)).decode()
                check(said == {"name": "s1._domainkey.example.org", "type": "TXT", "value": parts}, said)
                zone = os.path.join(directory, "zone")
                with open(zone, "wb") as file:
                    file.write(made.stdout)
                signed = self._run("sign", "dkim", "--key", path, "--selector", "s1", "--domain", "example.org", "-", text=LETTER)
                checked = self._run("check", "dkim", "--zone", zone, "-", text=signed.stdout)
                check(checked.stdout == b"pass\n", (words, checked.stdout, checked.stderr))

    def nothing_is_written_over(self):
        with tempfile.TemporaryDirectory(prefix="postern-test-") as directory:
            path = os.path.join(directory, "key")
            with open(path, "w", encoding="ascii") as file:
                file.write("mine")
            done = self._new(path)
            check(done.returncode == 1 and b"there already" in done.stderr, done.stderr)
            with open(path, encoding="ascii") as file:
                check(file.read() == "mine", "it was written over")

    def what_is_wrong_is_said(self):
        with tempfile.TemporaryDirectory(prefix="postern-test-") as directory:
            path = os.path.join(directory, "key")
            for words, said in ((("--bits", "1023"), "from 1024 to 4096"), (("--bits", "4097"), "from 1024 to 4096"),
                                (("--bits", "many"), "from 1024 to 4096"), (("--algorithm", "rsa-sha1"), "--algorithm is"),
                                (("--algorithm", "ed25519-sha256", "--bits", "2048"), "--bits is for RSA"),
                                (("--domain", "a b"), "made of letters")):
                done = self._new(path, *words) if words[0] != "--domain" else \
                    self._run("key", "new", "--domain", "a b", "--selector", "s", "--file", path)
                check(done.returncode == 1 and said in done.stderr.decode(), (words, done.stderr))
                check(not os.path.exists(path), "a file was made all the same")
            done = self._new(os.path.join(directory, "absent", "key"))
            check(done.returncode == 1 and b"cannot make" in done.stderr, done.stderr)
            with open(path, "w", encoding="ascii") as file:
                file.write("no key")
            done = self._run("key", "show", "--domain", "example.org", "--selector", "s1", "--file", path)
            check(done.returncode == 1 and b"no private key" in done.stderr, done.stderr)
            check(self._run("key", "new").returncode == 2, "without anything")
            check(b"usage" in self._run("key", "--help").stdout, "help")
