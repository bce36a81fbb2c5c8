# SPDX-License-Identifier: Apache-2.0
"""What code that runs in a worker can reach: a module tries, and nothing of it may work."""

import os
import re
import shutil
import smtplib
import subprocess
import tempfile

from support import DOMAIN, check, connect, edges, edit, log_text, postern, send_over, status, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
# What works where nobody is confined: the tries are real.
REAL = ("read_passwords", "read_secret", "list_house", "list_root", "write_there", "create_there", "create_in_tmp",
        "make_directory", "write_config", "fork_one", "run_shell", "listen_anew", "signal_everybody", "hold_victim",
        "read_environment", "raise_limits", "load_library")


class House:
    """A directory with things in it that are nobody's business, and a process."""

    def __init__(self, build):
        self.path = tempfile.mkdtemp(prefix="postern-house-")
        with open(os.path.join(self.path, "secret"), "w", encoding="ascii") as file:
            file.write("secret")
        shutil.copy(os.path.join(build, "tests", "modules", "named.so"), os.path.join(self.path, "library.so"))
        self.victim = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def is_untouched(self):
        """What a burglar would have changed."""
        with open(os.path.join(self.path, "secret"), encoding="ascii") as file:
            return file.read() == "secret" and sorted(os.listdir(self.path)) == ["library.so", "secret"] and \
                self.victim.poll() is None

    def close(self):
        self.victim.kill()
        self.victim.wait()
        shutil.rmtree(self.path)


class ConfinementTests:
    """Mixed into Tests."""

    def _with_a_burglar(self, house, **options):
        gateway = self.gateway(start=False, workers=2, **options)
        modules = f'module_directories = {{ "{gateway.build}/modules", "{gateway.build}/tests/modules" }}'
        edit(gateway, f'module_directories = {{ "{gateway.build}/modules" }}', modules)
        edit(gateway, "domain ", f'module "burglar" {{ house = "{house.path}", config = "{gateway.directory}/users", '
                                 f'victim = {house.victim.pid} }}\ndomain ')
        gateway.start()
        return gateway

    @staticmethod
    def _names():
        with open(os.path.join(HERE, "..", "modules", "burglar.c"), encoding="utf-8") as file:
            return re.findall(r'^\t\{"(\w+)", \w+\},$', file.read(), re.M)

    @staticmethod
    def _try(gateway, name):
        with smtplib.SMTP("127.0.0.1", gateway.ports["mx"], timeout=30) as client:
            code, text = client.docmd("EHLO", f"try-{name}")
            check(code == 550 and text.decode().startswith(f"{name}: "), f"{name} is answered {code} {text}")
            return text.decode()[len(name) + 2:]

    def nothing_that_a_burglar_tries_in_a_worker_works(self):
        house = House(self.build)
        try:
            gateway = self._with_a_burglar(house, settings='confinement = "required"')
            before = edges(gateway)
            answers = {name: self._try(gateway, name) for name in self._names()}
            check(len(answers) >= 40, f"only {len(answers)} tries")
            worked = [name for name, answer in answers.items() if answer in ("done", "unknown")]
            check(not worked, f"it worked: {worked}")
            check(house.is_untouched(), "the house is not as it was")
            check(edges(gateway) == before, f"other workers serve: {edges(gateway)} instead of {before}")
            with connect(gateway) as client:
                check(send_over(client)[0] == 250, "no mail is taken")
            for worker in status(gateway)["workers"]:
                with open(f"/proc/{worker['pid']}/status", encoding="ascii") as file:
                    fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
                zero = "0" * 16
                found = [fields[name].strip() for name in ("NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapAmb")]
                check(found == ["1", "2", zero, zero, zero, zero], f"{worker['kind']} {worker['number']}: {found}")
        finally:
            house.close()

    def what_a_burglar_tries_works_where_nobody_is_confined(self):
        house = House(self.build)
        try:
            gateway = self._with_a_burglar(house, settings='confinement = "off"')
            for name in REAL:
                answer = self._try(gateway, name)
                check(answer == "done", f"{name}: {answer}")
        finally:
            house.close()

    def accounts_that_a_reload_puts_elsewhere_are_found(self):
        gateway = self.gateway()
        elsewhere = tempfile.mkdtemp(prefix="postern-elsewhere-")
        try:
            shutil.copy(os.path.join(gateway.directory, "users"), os.path.join(elsewhere, "users"))
            with open(os.path.join(elsewhere, "users"), "a", encoding="ascii") as file:
                file.write(f"erin@{DOMAIN}:!:\n")
            before = set(edges(gateway).values())
            edit(gateway, f'path = "{gateway.directory}/users"', f'path = "{elsewhere}/users"')
            done = postern(gateway, "reload")
            check(done.returncode == 0, f"reload: {done.stderr}")
            wait_for(lambda: len(edges(gateway)) == 2 and not before & set(edges(gateway).values()),
                     "workers that can reach them", 60)
            with connect(gateway) as client:
                check(send_over(client, recipient=f"erin@{DOMAIN}")[0] == 250, "erin has no mail")
            # A file that is replaced is another one, and is read all the same.
            with open(os.path.join(elsewhere, "new"), "w", encoding="ascii") as file:
                file.write(f"frank@{DOMAIN}:!:\n")
            os.rename(os.path.join(elsewhere, "new"), os.path.join(elsewhere, "users"))

            def frank_is_known():
                with connect(gateway) as client:
                    return send_over(client, recipient=f"frank@{DOMAIN}")[0] == 250
            wait_for(frank_is_known, "the accounts are read again", 60)
            check("Permission denied" not in log_text(gateway), log_text(gateway)[-800:])
        finally:
            shutil.rmtree(elsewhere)
