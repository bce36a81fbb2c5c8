# SPDX-License-Identifier: Apache-2.0
"""Rules of this code that a program can check.

  - a room of core/ includes only rooms before it; <uv.h>, OpenSSL and libunbound only in core/io
  - modules and tutorials include only <postern/...> and their libraries
  - no protocol's name in core/ (but core/mail, which knows their addresses and headers)
  - functions that cannot be used safely are not used
  - every source says its licence; every folder has a README.md
  - the generated reference is what the option tables say

Prints "ok NAME" or "not ok NAME" with the places.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOMS = ["base", "mail", "io", "session", "store", "delivery", "module", "policy", "config",
         "process"]
BANNED = ["strcpy", "strtok", "sprintf", "vsprintf", "gets", "atoi", "atol", "alloca", "strncat",
          "gethostbyname", "getaddrinfo"]
PRIVATE = re.compile(r"<(uv\.h|openssl/|unbound\.h|curl/)")

failures = 0


def report(name, places):
    global failures
    if places:
        failures += 1
        for place in places[:20]:
            print("#   " + place)
        print("not ok " + name)
    else:
        print("ok " + name)


def files(*folders, endings=(".c", ".h")):
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--",
                             *folders], cwd=ROOT, capture_output=True, text=True).stdout
    return [path for path in listed.splitlines()
            if path.endswith(endings) and os.path.exists(os.path.join(ROOT, path))]


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments(source):
    source = re.sub(r"/\*.*?\*/", lambda match: "\n" * match.group().count("\n"), source, flags=re.S)
    return re.sub(r"//.*", "", source)


def includes(path):
    for number, line in enumerate(text(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+([<"][^>"]+)[>"]', line)
        if match:
            yield number, match.group(1)


def check_directions():
    places = []
    for path in files("core"):
        parts = path.split("/")
        if len(parts) < 3:
            continue
        own = ROOMS.index(parts[1])
        for number, included in includes(path):
            room = included[1:].split("/")[0]
            if included[0] == '"' and room in ROOMS and ROOMS.index(room) > own:
                places.append(f"{path}:{number}: {parts[1]} includes {included[1:]}")
            if PRIVATE.match(included) and parts[1] != "io":
                places.append(f"{path}:{number}: only core/io includes {included}>")
    report("rooms include only rooms before them", places)


def check_modules():
    places = []
    for path in files("modules", "contrib"):
        folder = os.path.dirname(path)
        for number, included in includes(path):
            if included[0] == '"' and not os.path.exists(os.path.join(ROOT, folder, included[1:])):
                places.append(f"{path}:{number}: includes {included[1:]}")
            if PRIVATE.match(included) or "core/" in included:
                places.append(f"{path}:{number}: includes {included[1:]}")
    report("modules use the public headers only", places)


def check_protocol_names():
    places = []
    for path in files("core"):
        if path.startswith("core/mail/"):
            continue
        for number, line in enumerate(without_comments(text(path)).splitlines(), 1):
            if re.search(r"smtp|imap|pop3|lmtp", line, re.I):
                places.append(f"{path}:{number}: {line.strip()}")
    report("the core names no protocol", places)


def check_banned():
    places = []
    pattern = re.compile(r"(?<![\w>.])(" + "|".join(BANNED) + r")\s*\(")
    for path in files("core", "modules", "contrib"):
        for number, line in enumerate(without_comments(text(path)).splitlines(), 1):
            if pattern.search(line):
                places.append(f"{path}:{number}: {line.strip()}")
    report("no function that cannot be used safely", places)


def check_format():
    """Sources as clang-format writes them; headers are laid out by hand, in columns."""
    if shutil.which("clang-format") is None:
        print("skipped: clang-format is not installed, nobody looked at the format")
        return
    sources = files("core", "modules", "contrib", "tests", endings=(".c",))
    said = subprocess.run(["clang-format", "--dry-run", *sources], cwd=ROOT, capture_output=True,
                          text=True).stderr
    places = sorted({":".join(line.split(":")[:2]) for line in said.splitlines()
                     if "clang-format-violations" in line})
    report("every source is as clang-format writes it", places)


def check_licences():
    places = [path for path in files("core", "modules", "include", "contrib", "tests", "scripts",
                                     endings=(".c", ".h", ".py", ".sh", ".lua", ".cmake"))
              if "/corpus/" not in path and "/hostile/" not in path and "/transcripts/" not in path
              and "SPDX-License-Identifier: Apache-2.0" not in text(path)[:300]]
    report("every source says its licence", places)


def check_readmes():
    folders = ["core", "modules", "scripts", "include", "conf", "tests", "contrib"]
    for parent in ("core", "modules", "contrib", "tests"):
        for name in sorted(os.listdir(os.path.join(ROOT, parent))):
            path = os.path.join(parent, name)
            if os.path.isdir(os.path.join(ROOT, path)) and not name.startswith(("_", ".")):
                folders.append(path)
    places = [folder for folder in folders
              if not os.path.exists(os.path.join(ROOT, folder, "README.md"))]
    report("every folder says its job in a README.md", places)


def check_reference(build):
    postern = os.path.join(build, "postern")
    made = subprocess.run([postern, "config", "reference", os.path.join(build, "modules")],
                          capture_output=True, text=True)
    path = os.path.join(ROOT, "conf", "reference.lua")
    kept = text("conf/reference.lua") if os.path.exists(path) else ""
    places = []
    if made.returncode != 0:
        places.append("postern config reference: " + made.stderr.strip())
    elif made.stdout != kept:
        places.append("conf/reference.lua is not what the option tables say; write it anew with: "
                      "postern config reference build/gcc/modules > conf/reference.lua")
    report("conf/reference.lua is current", places)


def check_options_files(build):
    """Each module's OPTIONS.md against `postern module describe`."""
    places = []
    postern = os.path.join(build, "postern")
    for name in sorted(os.listdir(os.path.join(ROOT, "modules"))):
        module = os.path.join(build, "modules", name + ".so")
        if not os.path.exists(module):
            continue
        described = subprocess.run([postern, "module", "describe", module], capture_output=True,
                                   text=True)
        match = re.search(r"\nOptions:\n(.*?)(\nHooks:|\Z)", described.stdout, re.S)
        wanted = f"# Options of {name}\n\n" + (match.group(1).strip() if match else "None.") + "\n"
        path = f"modules/{name}/OPTIONS.md"
        kept = text(path) if os.path.exists(os.path.join(ROOT, path)) else ""
        if kept != wanted:
            if os.environ.get("POSTERN_WRITE_REFERENCE"):
                with open(os.path.join(ROOT, path), "w", encoding="utf-8") as file:
                    file.write(wanted)
            else:
                places.append(f"{path} is not current; write it anew with "
                              "POSTERN_WRITE_REFERENCE=1 tests/run.sh style")
    report("every OPTIONS.md is current", places)


def check_hardening(build):
    """What was built can be put anywhere in memory, and none of it be written and executed."""
    places = []
    modules = os.path.join(build, "modules")
    built = [os.path.join(build, "postern")] + sorted(
        os.path.join(modules, name) for name in os.listdir(modules) if name.endswith(".so"))
    for path in built:
        said = subprocess.run(["readelf", "-W", "-h", "-l", "-d", "--dyn-syms", path],
                              capture_output=True, text=True, check=True).stdout
        stack = re.search(r"GNU_STACK.*", said)
        wanted = {
            "is placed anywhere": re.search(r"Type: +DYN", said),
            "binds at once": re.search(r"BIND_NOW|Flags:.* NOW", said),
            "makes its tables read-only": "GNU_RELRO" in said,
            "has no executable stack": stack and "RWE" not in stack.group(),
            "names no directory of libraries": not re.search(r"\(R(UN)?PATH\)", said),
        }
        # A small module may have no array on its stack, and copy nothing.
        if path == built[0]:
            wanted["watches its stack"] = "__stack_chk_fail" in said
            wanted["checks what it copies"] = re.search(r"__(mem|str|sn?print|vsn)\w+_chk", said)
        places += [f"{os.path.basename(path)} lacks: {what}" for what, is_so in wanted.items() if not is_so]
    report("what is built is hardened", places)


def check_unit():
    """The service of systemd is one that systemd understands."""
    if shutil.which("systemd-analyze") is None:
        print("skipped: systemd-analyze is not installed, nobody read the service's unit")
        return
    said = subprocess.run(["systemd-analyze", "verify", "contrib/packaging/postern.service"], cwd=ROOT,
                          capture_output=True, text=True).stderr
    # The program is not installed here.
    report("systemd understands the unit", [line for line in said.splitlines()
                                            if "postern.service" in line and "is not executable" not in line])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    build = parser.parse_args().build
    check_directions()
    check_modules()
    check_protocol_names()
    check_banned()
    check_format()
    check_licences()
    check_readmes()
    check_reference(build)
    check_options_files(build)
    check_hardening(build)
    check_unit()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
