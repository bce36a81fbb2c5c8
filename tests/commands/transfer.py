# SPDX-License-Identifier: Apache-2.0
"""Import and export: what goes in comes out, byte by byte and flag by flag."""

import glob
import mailbox
import os
import re
import socket
import subprocess
import time

from breaking import Breaking
from support import DOMAIN, check, postern, send, wait_for

DATE = 1_500_000_000


def helper(function):
    """Not a test."""
    function.is_helper = True
    return function


def ask(gateway, *words, status=0, **options):
    """Runs a command that must end with that status; returns what it printed."""
    done = postern(gateway, *words, timeout=120, **options)
    check(done.returncode == status,
          f"{' '.join(words)} ended with {done.returncode}: {done.stdout[-300:]}{done.stderr[-9000:]}")
    return done.stdout + (done.stderr if status else "")


def message(number, size=200):
    """A message with LF line ends."""
    text = (f"Subject: number {number}\nFrom: a@sender.test\nMessage-ID: <{number}@sender.test>\n"
            f"\nThis is number {number}.\n")
    return (text + "x" * 70 + "\n" * 1) if size < 300 else text + ("y" * 75 + "\n") * (size // 76)


def write_maildir(path, messages, keywords=()):
    """messages: (base name, part, flags, text, mtime)."""
    for part in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(path, part), exist_ok=True)
    for base, part, flags, text, mtime in messages:
        name = os.path.join(path, part, base + (f":2,{flags}" if part == "cur" else ""))
        with open(name, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        os.utime(name, (mtime, mtime))
    if keywords:
        with open(os.path.join(path, "dovecot-keywords"), "w", encoding="utf-8") as file:
            file.writelines(f"{index} {word}\n" for index, word in enumerate(keywords))


def read_folder(path):
    """The messages of an exported Maildir: (flags, keywords, seconds, bytes), by UID."""
    words = {}
    try:
        with open(os.path.join(path, "dovecot-keywords"), encoding="utf-8") as file:
            words = {chr(97 + int(line.split()[0])): line.split()[1] for line in file}
    except FileNotFoundError:
        pass
    found = []
    for name in os.listdir(os.path.join(path, "cur")):
        whole = os.path.join(path, "cur", name)
        flags = name.rsplit(":2,", 1)[1]
        with open(whole, "rb") as file:
            text = file.read()
        uid = int(re.search(r"U(\d+)\.", name).group(1))
        found.append((uid, "".join(f for f in flags if f.isupper()),
                      {words[f] for f in flags if f.islower()}, int(os.stat(whole).st_mtime), text))
    return sorted(found)


class Transfers:
    """import and export, beside a running gateway."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.count = 0

    @helper
    def path(self, name):
        self.count += 1
        return os.path.join(self.gateway.directory, f"{name}-{self.count}")

    @helper
    def export(self, account, *options):
        """Exports the account; returns its directory."""
        path = self.path("export")
        ask(self.gateway, "export", account, path, *options)
        return os.path.join(path, f"{account}@{DOMAIN}")

    @helper
    def account(self, name):
        """An account with nothing in it."""
        postern(self.gateway, "account", "delete", name, "--yes")
        ask(self.gateway, "account", "create", name)
        return name

    def a_maildir_comes_in_with_everything(self):
        account = self.account("alice")
        path = self.path("maildir")
        write_maildir(path, [("100.a.host", "cur", "S", message(1), DATE),
                             ("101.b.host,S=99", "cur", "FRab", message(2), DATE + 60),
                             ("102.c.host", "new", "", message(3), DATE + 120),
                             ("103.d.host", "cur", "DPT", message(4), DATE + 180)],
                      keywords=("$Label1", "Work"))
        write_maildir(path + "/.Sent", [("200.a.host", "cur", "S", message(5), DATE)])
        write_maildir(path + "/.Archive.2026", [("300.a.host", "cur", "", message(6), DATE)])
        write_maildir(path + "/.Gr&APwA3w-e", [("400.a.host", "cur", "", message(7), DATE)])
        write_maildir(path + "/.Empty", [])
        with open(path + "/subscriptions", "w", encoding="utf-8") as file:
            file.write("Sent\nArchive.2026\n")
        said = ask(self.gateway, "import", "maildir", account, path)
        check("7 messages imported into 5 mailboxes, 0 were there, 0 failed" in said, said)
        out = self.export(account)
        rows = read_folder(out)
        check([row[1:4] for row in rows] == [("S", set(), DATE), ("FR", {"$Label1", "Work"}, DATE + 60),
                                             ("", set(), DATE + 120), ("DT", {"$Forwarded"}, DATE + 180)],
              [row[:4] for row in rows])
        check([row[4] for row in rows] ==
              [message(number).replace("\n", "\r\n").encode() for number in (1, 2, 3, 4)], "the bytes")
        for folder, number in ((".Sent", 5), (".Archive.2026", 6), (".Gr&APwA3w-e", 7)):
            rows = read_folder(os.path.join(out, folder))
            check(len(rows) == 1 and f"number {number}.".encode() in rows[0][4], folder)
        check(read_folder(os.path.join(out, ".Empty")) == [], "the empty one")
        with open(out + "/subscriptions", encoding="utf-8") as file:
            check(sorted(file.read().split()) == ["Archive.2026", "Sent"], "subscriptions")
        self.again(account, "maildir", path, 7)

    @helper
    def again(self, account, source, path, count):
        """A second run adds nothing, nor does one that lost its journal; what is new is taken."""
        said = ask(self.gateway, "import", source, account, path)
        check(f"0 messages imported into" in said and f" {count} were there" in said, said)
        for journal in glob.glob(os.path.join(self.gateway.directory, "data", "imports", "*")):
            os.unlink(journal)
        said = ask(self.gateway, "import", source, account, path)
        check(f"0 messages imported into" in said and f" {count} were there" in said, said)

    def what_is_new_is_taken_by_the_next_run(self):
        account = self.account("alice")
        path = self.path("maildir")
        write_maildir(path, [("1.a", "cur", "", message(1), DATE)])
        ask(self.gateway, "import", "maildir", account, path)
        os.rename(path + "/cur/1.a:2,", path + "/cur/1.a:2,S")
        write_maildir(path, [("2.a", "new", "", message(2), DATE)])
        said = ask(self.gateway, "import", "maildir", account, path)
        check("1 messages imported into 1 mailboxes, 1 were there" in said, said)
        said = ask(self.gateway, "import", "maildir", account, path, "--again")
        check("2 messages imported" in said, said)

    def an_import_goes_below_a_mailbox(self):
        account = self.account("alice")
        path = self.path("maildir")
        write_maildir(path, [("1.a", "cur", "", message(1), DATE)])
        write_maildir(path + "/.Sent", [("2.a", "cur", "", message(2), DATE)])
        write_maildir(path + "/.Sent.Old", [("3.a", "cur", "", message(3), DATE)])
        ask(self.gateway, "import", "maildir", account, path, "--mailbox", "From elsewhere")
        out = self.export(account)
        check(len(read_folder(os.path.join(out, ".From elsewhere"))) == 1, os.listdir(out))
        check(len(read_folder(os.path.join(out, ".From elsewhere.Sent.Old"))) == 1, os.listdir(out))
        alone = self.export(account, "--mailbox", "From elsewhere/Sent")
        check(os.path.isdir(alone + "/.From elsewhere.Sent") and not os.path.isdir(alone + "/cur"),
              os.listdir(alone))

    def messages_that_cannot_be_read_are_told(self):
        account = self.account("alice")
        path = self.path("maildir")
        write_maildir(path, [("1.a", "cur", "", message(1), DATE), ("3.a", "cur", "", message(3), DATE)])
        os.mkdir(path + "/cur/2.a:2,S")
        said = ask(self.gateway, "import", "maildir", account, path, status=1)
        check("2 messages imported" in said and "1 failed" in said and "2.a was left out" in said, said)

    def mistakes_are_told(self):
        gateway = self.gateway
        for words, why in ((("maildir", "alice", "/nowhere"), "cannot read /nowhere"),
                           (("maildir", "alice", gateway.directory + "/data"), "is no Maildir"),
                           (("mbox", "alice", gateway.config), "is no mbox"),
                           (("maildir", "nobody", "/tmp"), "directory does not know"),
                           (("nonsense", "alice", "/tmp"), "there is no source")):
            said = ask(gateway, "import", *words, status=1)
            check(why in said, f"{words}: {said}")
        ask(gateway, "import", "maildir", "alice", status=2)
        self.export("alice")
        twice = self.path("export")
        ask(gateway, "export", "alice", twice)
        check("cannot make" in ask(gateway, "export", "alice", twice, status=1), "twice")
        check("no mailbox" in ask(gateway, "export", "alice", self.path("x"), "--mailbox", "No", status=1),
              "no such mailbox")
        ask(gateway, "export", "alice", self.path("x"), "--format", "nonsense", status=2)
        for command in ("import", "export"):
            check(ask(gateway, command, "--help").startswith("usage: "), command)

    def an_import_that_is_killed_goes_on_where_it_was(self):
        account = self.account("bob")
        path = self.path("maildir")
        count = 4000
        write_maildir(path, [(f"{number:05}.a", "cur", "S", message(number, 3000), DATE + number)
                             for number in range(count)])
        journals = os.path.join(self.gateway.directory, "data", "imports")

        def taken():
            return sum(os.path.getsize(os.path.join(journals, name)) for name in os.listdir(journals)) // 33

        kills = 0
        for share in (0.1, 0.3, 0.5, 0.8):
            process = subprocess.Popen([os.path.join(self.gateway.build, "postern"), "import", "maildir",
                                        account, path, "--config", self.gateway.config],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(lambda: taken() >= share * count or process.poll() is not None, "some messages")
            if process.poll() is None:
                kills += 1
            process.kill()
            process.wait()
        ask(self.gateway, "import", "maildir", account, path)
        rows = read_folder(self.export(account))
        check(len(rows) == count, f"{len(rows)} of {count} messages")
        check([row[3] for row in rows] == [DATE + number for number in range(count)], "their order")
        check(kills > 0, "it was never killed in time")
        said = ask(self.gateway, "store", "verify")
        check("DAMAGE" not in said, said)

    def a_large_message_passes(self):
        account = self.account("carol")
        path = self.path("maildir")
        large = message(1, 30_000_000)
        write_maildir(path, [("1.a", "cur", "", large, DATE), ("2.a", "cur", "", message(2), DATE)])
        ask(self.gateway, "import", "maildir", account, path)
        rows = read_folder(self.export(account))
        check([row[4] for row in rows] == [text.replace("\n", "\r\n").encode()
                                           for text in (large, message(2))], "the bytes")

    def an_mbox_comes_in_with_everything(self):
        account = self.account("alice")
        path = self.path("mbox")
        quoted = message(3) + ">From the beginning\n>>From twice\n From here\nFrom not a date\n"
        with open(path, "w", encoding="utf-8") as file:
            file.write("From MAILER-DAEMON Fri Jul 14 02:40:00 2017\nSubject: DON'T DELETE THIS MESSAGE -- "
                       "FOLDER INTERNAL DATA\nX-IMAP: 1500000001 0000000099\nStatus: RO\n\ninternal\n\n")
            file.write("From a@b.test Fri Jul 14 02:40:00 2017\nX-UID: 7\nStatus: RO\n"
                       "X-Status: AF\nX-Keywords: $Label1 a(b c)d x\"y ü a\x01b Work\n" + message(1) + "\n")
            file.write("From a@b.test Fri Jul 14 02:41:00 2017 +0200\nStatus: O\n" + message(2) + "\n")
            file.write("From a@b.test  Fri Jul 14 02:42:00 2017\nX-Mozilla-Status: 0005\n" + quoted + "\n")
            file.write("From - Fri Jul 14 02:42:00 2017\nX-Mozilla-Status: 0009\n" + message(9) + "\n")
            file.write("From a@b.test Fri Jul 14 02:40:00 2017\n" + message(2))
        said = ask(self.gateway, "import", "mbox", account, path)
        check("4 messages imported into 1 mailboxes" in said, said)
        rows = read_folder(self.export(account))
        check([row[1:4] for row in rows] ==
              [("FRS", {"$Label1", "Work"}, DATE), ("", set(), DATE + 60 - 7200),
               ("FS", set(), DATE + 120), ("", set(), DATE)], [row[:4] for row in rows])
        expected = [message(1), message(2), quoted.replace(">From", "From", 1).replace(">From twice", "From twice"),
                    message(2)]
        expected[2] = message(3) + "From the beginning\n>From twice\n From here\nFrom not a date\n"
        check([row[4] for row in rows] == [text.replace("\n", "\r\n").encode() for text in expected],
              [row[4] for row in rows])
        self.again(account, "mbox", path, 4)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("Status: O\n", "Status: RO\nX-UID: 8\n"))
        said = ask(self.gateway, "import", "mbox", account, path)
        check("0 messages imported" in said, f"a file with other flags: {said}")

    def what_python_reads_and_writes_is_an_mbox(self):
        account = self.account("alice")
        path = self.path("mbox")
        os.makedirs(path + "/Work.sbd")
        for name, numbers in (("Inbox", (1, 2)), ("Work", (3,)), ("Work.sbd/Old.mbox", (4, 5, 6))):
            box = mailbox.mbox(os.path.join(path, name))
            for number in numbers:
                each = mailbox.mboxMessage(message(number))
                each.set_flags("RF")
                box.add(each)
            box.close()
        with open(path + "/Inbox.msf", "w", encoding="utf-8") as file:
            file.write("not mail\n")
        ask(self.gateway, "import", "mbox", account, path)
        out = self.export(account, "--format", "mbox")
        for name, count in (("INBOX.mbox", 2), ("Work.mbox", 1), ("Work/Old.mbox", 3)):
            box = mailbox.mbox(os.path.join(out, name), create=False)
            check(len(box) == count, f"{name}: {len(box)}")
            check(all("R" in each.get_flags() and "F" in each.get_flags() for each in box), name)

    @helper
    def fill(self, account):
        """Mail with all that may be lost on the way."""
        path = self.path("maildir")
        write_maildir(path, [("1.a", "cur", "SFab", message(1) + "From me\n>From you\n", DATE),
                             ("2.a", "cur", "RTD", "Subject: CRLF\r\n\r\nbare\nline\r\n", DATE + 1),
                             ("3.a", "cur", "", "Subject: no end\r\n\r\nlast line", DATE + 2),
                             ("4.a", "cur", "", "\xff\x80 no header".encode("latin-1"), DATE + 3),
                             ("5.a", "cur", "", b"", DATE + 4)],
                      keywords=("$Label1", "Work"))
        write_maildir(path + "/.A&AOQA9gD8-.b", [(f"{n}.b", "cur", "S", message(n), DATE) for n in range(30)])
        ask(self.gateway, "import", "maildir", account, path)
        ask(self.gateway, "mailbox", "create", account, "with.dot/and%41percent")
        ask(self.gateway, "mailbox", "create", account, "n" * 200 + "/" + "m" * 200)

    @helper
    def compare(self, one, other, exactly):
        """Two exports as Maildirs have the same in them."""
        folders = [sorted(name for name in os.listdir(path) if name == "" or name.startswith("."))
                   for path in (one, other)]
        check(folders[0] == folders[1], folders)
        for name in [""] + folders[0]:
            rows = [read_folder(os.path.join(path, name)) for path in (one, other)]
            check([row[1:4] for row in rows[0]] == [row[1:4] for row in rows[1]],
                  f"{name}: flags or dates: {[row[:4] for row in rows[0]]} {[row[:4] for row in rows[1]]}")
            texts = [[row[4] for row in each] for each in rows]
            if not exactly:
                texts = [[re.sub(rb"\r?\n", b"\n", text).rstrip(b"\n") for text in each]
                         for each in texts]
            check(texts[0] == texts[1], f"{name}: {texts}")

    def a_maildir_that_went_out_comes_back_exactly(self):
        self.account("bob")
        self.fill(self.account("alice"))
        out = self.export("alice")
        ask(self.gateway, "import", "maildir", "bob", out)
        self.compare(out, self.export("bob"), True)
        listed = [ask(self.gateway, "mailbox", "list", name) for name in ("alice", "bob")]
        check(listed[0] == listed[1], listed)

    def an_mbox_that_went_out_comes_back(self):
        self.account("bob")
        self.fill(self.account("alice"))
        ask(self.gateway, "import", "mbox", "bob", self.export("alice", "--format", "mbox"))
        self.compare(self.export("alice"), self.export("bob"), False)

    def all_accounts_are_exported(self):
        path = self.path("export")
        said = ask(self.gateway, "export", path)
        check("of 3 accounts were exported" in said, said)
        check(sorted(os.listdir(path)) == [f"{name}@{DOMAIN}" for name in ("alice", "bob", "carol")],
              os.listdir(path))
        other = self.path("export")
        ask(self.gateway, "store", "export", "--output", other)
        check(sorted(os.listdir(other)) == sorted(os.listdir(path)), "store export")

    def many_keywords_survive(self):
        account = self.account("alice")
        path = self.path("mbox")
        words = [f"Word{number:02}" for number in range(40)]
        with open(path, "w", encoding="utf-8") as file:
            file.write("From a@b.test Fri Jul 14 02:40:00 2017\nX-Keywords: " + " ".join(words) + "\n" +
                       message(1) + "\n")
        ask(self.gateway, "import", "mbox", account, path)
        self.account("bob")
        ask(self.gateway, "import", "maildir", "bob", self.export(account))
        with open(self.export("bob", "--format", "mbox") + "/INBOX.mbox", encoding="utf-8") as file:
            line = next(line for line in file if line.startswith("X-Keywords:"))
        check(sorted(line.split()[1:]) == words, line)

    def many_messages_are_imported_quickly(self):
        account = self.account("carol")
        path = self.path("maildir")
        count = 5000
        write_maildir(path, [(f"{number:05}.a", "cur", "S", message(number), DATE)
                             for number in range(count)])
        begin = time.monotonic()
        ask(self.gateway, "import", "maildir", account, path)
        middle = time.monotonic()
        self.export(account)
        end = time.monotonic()
        print(f"# {count / (middle - begin):.0f} messages/s in, {count / (end - middle):.0f} out", flush=True)

    @helper
    def import_from_server(self, account, url, user, status=0):
        secret = self.gateway.write("secret", "postern\n")
        return ask(self.gateway, "import", "imap", account, url, user, "--password-file", secret,
                   status=status)

    def mail_comes_from_another_server(self):
        gateway = self.gateway
        self.account("bob")
        self.fill(self.account("alice"))
        path = self.path("maildir")
        write_maildir(path, [("1.l", "cur", "S", message(1, 5_000_000), DATE)] +
                      [(f"2{number:03}.l", "cur", "F", message(number, 30_000), DATE + number)
                       for number in range(300)])
        write_maildir(path + '/.Say "hi" \\ ok', [("1.q", "cur", "", message(3), DATE)])
        ask(gateway, "import", "maildir", "alice", path, "--mailbox", "Large")
        plain = f"imap+plain://127.0.0.1:{gateway.ports['imap']}"
        said = self.import_from_server("bob", plain, f"alice@{DOMAIN}")
        check("337 messages imported" in said, said)
        self.compare(self.export("alice"), self.export("bob"), True)
        said = self.import_from_server("bob", plain, f"alice@{DOMAIN}")
        check("0 messages imported" in said and "337 were there" in said, said)
        send(gateway, "new", f"alice@{DOMAIN}")
        secure = f"insecure+imaps://127.0.0.1:{gateway.ports['imaps']}"
        said = self.import_from_server("bob", secure, f"alice@{DOMAIN}")
        check("1 messages imported" in said and "337 were there" in said, said)

    def a_connection_that_breaks_is_made_again(self):
        gateway = self.gateway
        self.account("bob")
        path = self.path("maildir")
        write_maildir(path, [(f"{number:03}.a", "cur", "F", message(number, 30_000), DATE + number)
                             for number in range(200)])
        ask(gateway, "import", "maildir", self.account("alice"), path)
        server = Breaking(gateway.ports["imap"], limits=(3_000_000, 500, 4_000_000))
        said = self.import_from_server("bob", f"imap+plain://127.0.0.1:{server.address}",
                                       f"alice@{DOMAIN}")
        server.close()
        check("200 messages imported" in said and server.connections == 4, f"{server.connections} {said}")
        self.compare(self.export("alice"), self.export("bob"), True)

    def a_message_that_breaks_the_connection_is_left_out(self):
        gateway = self.gateway
        self.account("bob")
        path = self.path("maildir")
        write_maildir(path, [(f"{number:03}.a", "cur", "",
                              message(number) + ("poison\n" if number == 5 else ""), DATE)
                             for number in range(20)])
        ask(gateway, "import", "maildir", self.account("alice"), path)
        server = Breaking(gateway.ports["imap"], poison=b"poison")
        said = self.import_from_server("bob", f"imap+plain://127.0.0.1:{server.address}",
                                       f"alice@{DOMAIN}", status=1)
        server.close()
        check("19 messages imported" in said and "1 failed" in said, said)

    def a_certificate_that_is_trusted_opens_the_door(self):
        self.account("bob")
        send(self.gateway, "one", f"{self.account('alice')}@{DOMAIN}")
        os.environ["SSL_CERT_FILE"] = os.path.join(self.gateway.directory, "certificate.pem")
        try:
            for url in (f"imaps://localhost:{self.gateway.ports['imaps']}",
                        f"imap://localhost:{self.gateway.ports['imap']}"):
                said = self.import_from_server("bob", url, f"alice@{DOMAIN}")
                check("0 failed" in said, said)
        finally:
            del os.environ["SSL_CERT_FILE"]
        check(len(read_folder(self.export("bob"))) == 1, "the message")

    def a_server_that_cannot_be_used_is_told(self):
        gateway = self.gateway
        ports = gateway.ports
        for url, user, why in (
                (f"imap+plain://127.0.0.1:{ports['imap']}", "alice@wrong.test", "cannot log in"),
                (f"imaps://127.0.0.1:{ports['imaps']}", f"alice@{DOMAIN}", "is not to be trusted"),
                (f"imap+plain://127.0.0.1:{ports['pop3']}", "alice", "does not greet"),
                ("imap+plain://127.0.0.1:1", "alice", "cannot connect"),
                ("imap+plain:///", "alice", "is no server")):
            said = self.import_from_server("alice", url, user, status=1)
            check(why in said, f"{url}: {said}")
        said = self.import_from_server("alice", "imaps://no.such.host.invalid", "alice", status=1)
        check("cannot find no.such.host.invalid" in said, said)
        said = ask(gateway, "import", "imap", "alice", "localhost", "alice", status=1)
        check("--password-file" in said, said)

    @helper
    def uids(self, account, name="INBOX"):
        """UIDVALIDITY, UIDNEXT, and the UIDs of what is there."""
        out = self.export(account, "--mailbox", name)
        folder = out if name == "INBOX" else f"{out}/.{name}"
        with open(folder + "/dovecot-uidlist", encoding="utf-8") as file:
            first = file.readline().split()
            found = [int(line.split()[0]) for line in file]
        return int(first[1][1:]), int(first[2][1:]), found

    def uids_are_kept_where_the_mailbox_is_new(self):
        account = self.account("alice")
        path = self.path("maildir")
        names = ["3.a", "1.a", "2.a", "4.new"]
        write_maildir(path, [(name, "cur", "", message(number), DATE) for number, name in enumerate(names)])
        with open(path + "/dovecot-uidlist", "w", encoding="utf-8") as file:
            file.write("3 V1234567890 N100 Gabc\n17 :3.a\n40 W99 :1.a:2,S\n41 :2.a\n50 :9.gone\n")
        ask(self.gateway, "import", "maildir", account, path)
        check(self.uids(account) == (1234567890, 101, [17, 40, 41, 100]), self.uids(account))
        send(self.gateway, "next", f"{account}@{DOMAIN}")
        check(self.uids(account)[1:] == (102, [17, 40, 41, 100, 101]), self.uids(account))
        write_maildir(path, [("5.new", "cur", "", message(7), DATE)])
        with open(path + "/dovecot-uidlist", "a", encoding="utf-8") as file:
            file.write("100 :4.new\n101 :5.new\n")
        done = postern(self.gateway, "import", "maildir", account, path)
        check(done.returncode == 0 and "get new UIDs" in done.stderr, done.stderr)
        check(self.uids(account)[2] == [17, 40, 41, 100, 101, 102], self.uids(account))
        ask(self.gateway, "store", "verify")

    def uids_survive_an_export_and_a_server(self):
        self.account("alice")
        path = self.path("mbox")
        with open(path, "w", encoding="utf-8") as file:
            for number in (5, 6, 90):
                file.write("From a@b.test Fri Jul 14 02:40:00 2017\n" +
                           ("X-IMAPbase: 99887766 123\n" if number == 5 else "") +
                           f"X-UID: {number}\n" + message(number) + "\n")
        ask(self.gateway, "import", "mbox", "alice", path)
        check(self.uids("alice")[0] == 99887766 and self.uids("alice")[2] == [5, 6, 90], self.uids("alice"))
        for source, where in (("maildir", self.export("alice")),
                              ("mbox", self.export("alice", "--format", "mbox"))):
            self.account("bob")
            ask(self.gateway, "import", source, "bob", where)
            check(self.uids("bob") == self.uids("alice"), f"{source}: {self.uids('bob')}")
        self.account("bob")
        self.import_from_server("bob", f"imap+plain://127.0.0.1:{self.gateway.ports['imap']}",
                                f"alice@{DOMAIN}")
        check(self.uids("bob") == self.uids("alice"), self.uids("bob"))

    def a_mailbox_that_is_in_use_keeps_its_own_uids(self):
        account = self.account("alice")
        send(self.gateway, "first", f"{account}@{DOMAIN}")
        before = self.uids(account)
        path = self.path("maildir")
        write_maildir(path, [("1.a", "cur", "", message(1), DATE)])
        with open(path + "/dovecot-uidlist", "w", encoding="utf-8") as file:
            file.write("3 V1234567891 N100 Gabc\n17 :1.a\n")
        done = postern(self.gateway, "import", "maildir", account, path)
        check(done.returncode == 0 and "UIDVALIDITY" in done.stderr, done.stderr)
        check(self.uids(account) == (before[0], 3, [1, 2]), self.uids(account))

    def sessions_hear_of_an_import(self):
        account = self.account("alice")
        client = socket.create_connection(("127.0.0.1", self.gateway.ports["imap"]), timeout=20)
        with client, client.makefile("rb") as stream:
            def ask_line(text, sign):
                client.sendall(text.encode() + b"\r\n")
                while not (line := stream.readline()).startswith(sign):
                    check(line != b"", f"{text}: the connection ended")

            stream.readline()
            ask_line(f"a LOGIN {account}@{DOMAIN} postern", b"a OK")
            ask_line("b SELECT INBOX", b"b OK")
            ask_line("c IDLE", b"+")
            path = self.path("maildir")
            write_maildir(path, [("1.a", "cur", "", message(1), DATE)])
            ask(self.gateway, "import", "maildir", account, path)
            line = stream.readline()
            while b"EXISTS" not in line:
                check(line != b"", "the connection ended")
                line = stream.readline()
            check(line.startswith(b"* 1 EXISTS"), line)


class ByRoot:
    """What root imports belongs to whom the workers run as."""

    OPTIONS = {"user": "nobody", "settings": 'group = "nogroup"'}

    def __init__(self, gateway):
        self.gateway = gateway

    def what_root_imports_belongs_to_the_workers(self):
        check(os.geteuid() == 0, "this test needs root")
        gateway = self.gateway
        path = os.path.join(gateway.directory, "maildir")
        write_maildir(path, [("1.a", "cur", "S", message(1), DATE),
                             ("2.a", "cur", "S", message(2, 3_000_000), DATE)])
        for folder, _, files in os.walk(path):
            os.chmod(folder, 0o700)  # root's, as home directories are not nobody's
            for name in files:
                os.chmod(os.path.join(folder, name), 0o600)
        ask(gateway, "import", "maildir", "alice", path)
        for folder, _, files in os.walk(os.path.join(gateway.directory, "data")):
            for name in files:
                owner = os.stat(os.path.join(folder, name)).st_uid
                check(owner == 65534 or name == "postern.lock", f"{folder}/{name} belongs to {owner}")
        out = os.path.join(gateway.directory, "out")
        ask(gateway, "export", "alice", out)
        check(len(read_folder(f"{out}/alice@{DOMAIN}")) == 2, "export")
