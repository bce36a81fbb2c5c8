#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What somebody who writes a module meets: run.py BUILD_DIRECTORY

Installs the built tree into a temporary prefix, builds the tutorial modules
against it with find_package and with pkg-config, compiles every public header
alone in C and C++, and compares the sentences with which the gateway refuses
files that are no module of its own. Each bad module has a constructor that
would leave a mark: none may be there. Prints "ok NAME" or "not ok NAME".
"""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else SOURCE / "build").resolve()
CC = os.environ.get("CC", "cc")
CXX = os.environ.get("CXX", "c++")

failures = 0


def report(name, good, details=""):
    global failures
    print(f"{'ok' if good else 'not ok'} {name}", flush=True)
    if not good:
        failures += 1
        for line in details.strip().splitlines():
            print(f"#   {line}", flush=True)
    return good


def run(*command, **options):
    """Exit code and everything it printed."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **options)
    return done.returncode, done.stdout


def describe(file):
    """Exit code and what the gateway says about a file."""
    program = BUILD / "postern"
    command = [program, "module", "describe", file]
    if not program.exists():
        command = [BUILD / "tests/interface/describe", file]
    code, output = run(*command)
    return code, output.strip()


# ---- installing, and building against what was installed ----

def install(prefix):
    command = ["cmake", "--install", BUILD, "--prefix", prefix]
    if not (BUILD / "postern").exists():
        command += ["--component", "development"]
    code, output = run(*command)
    return report("installs_to_a_prefix", code == 0, output)


def build_with_cmake(work, prefix, name):
    build = work / f"build-{name}"
    code, output = run("cmake", "-S", SOURCE / "contrib" / name, "-B", build,
                       f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_COMPILER={CC}",
                       "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror")
    if code == 0:
        code, output = run("cmake", "--build", build)
    if not report(f"builds_{name}_with_find_package", code == 0, output):
        return
    code, output = describe(build / f"{name}.so")
    report(f"loads_{name}", code == 0 and name in output, output)
    code, output = run("cmake", "--install", build)
    places = list(prefix.glob(f"**/postern/{name}.so"))
    report(f"installs_{name}_where_the_gateway_looks", code == 0 and len(places) == 1, output)


def pkg_config(prefix, *words):
    paths = ":".join(str(path.parent) for path in prefix.glob("**/postern.pc"))
    code, output = run("pkg-config", *words, "postern",
                       env=dict(os.environ, PKG_CONFIG_PATH=paths))
    return output.split() if code == 0 else ["-DPKG_CONFIG_FAILED"]


def build_with_pkg_config(work, prefix):
    flags = pkg_config(prefix, "--cflags")
    file = work / "by_pkg_config.so"
    code, output = run(CC, "-std=c11", "-shared", "-fPIC", *flags, "-Wl,-z,now",
                       SOURCE / "contrib/hello/hello.c", "-o", file)
    if report("builds_hello_with_pkg_config", code == 0, output):
        code, output = describe(file)
        report("loads_hello_built_with_pkg_config", code == 0 and "hello" in output, output)
    version = pkg_config(prefix, "--modversion")
    report("pkg_config_knows_the_version", re.fullmatch(r"\d+\.\d+\.\d+", version[0]) is not None,
           str(version))


def compile_headers(prefix):
    include = prefix / "include"
    languages = [(CC, "c", "c11"), (CXX, "c++", "c++17")]
    for header in sorted((include / "postern").glob("*.h")):
        for compiler, language, standard in languages:
            code, output = run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic",
                               "-Werror", "-fsyntax-only", f"-I{include}", "-x", language, "-",
                               input=f"#include <postern/{header.name}>\n")
            report(f"{header.name}_stands_alone_in_{standard}", code == 0, output)


# ---- refusals ----

CONSTRUCTOR = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void leave_a_mark(void)
{
	int file = open(MARK, O_CREAT | O_WRONLY, 0600);

	if (file >= 0)
		close(file);
}
"""

MODULE = """
#include <postern/module.h>
PN_MODULE(bad, .version = "1.0", .summary = "Should not be here.");
"""

LATER_INTERFACE = """
#include <postern/abi.h>
#undef PN_ABI_MAJOR
#define PN_ABI_MAJOR %s
#undef PN_ABI_MINOR
#define PN_ABI_MINOR %s
"""

CALLS_NOTHING = """
void pn_no_such_function(void);
void call_it(void);
__attribute__((visibility("default"))) void call_it(void)
{
	pn_no_such_function();
}
"""


class Bad:
    """Files that must be refused, each with its own mark."""

    def __init__(self, work, prefix):
        self.work = work / "bad"
        self.work.mkdir(mode=0o755)
        self.include = prefix / "include"
        self.offered = self.interface()

    def interface(self):
        text = (self.include / "postern/abi.h").read_text()
        numbers = re.findall(r"^#define PN_ABI_(?:MAJOR|MINOR) (\d+)", text, re.M)
        return [int(number) for number in numbers]

    def mark(self, name):
        return self.work / f"{name}.mark"

    def build(self, name, text, *flags):
        file = self.work / f"{name}.so"
        code, output = run(CC, "-shared", "-fPIC", f"-I{self.include}",
                           f'-DMARK="{self.mark(name)}"', *flags, "-x", "c", "-", "-o", file,
                           input=text + CONSTRUCTOR)
        if code != 0:
            report(f"builds_{name}", False, output)
        return file

    def patch(self, file, offset, data):
        with open(file, "r+b") as opened:
            opened.seek(offset)
            opened.write(data)

    def note_at(self, file):
        """Where the numbers of the note are."""
        return file.read_bytes().index(b"Postern\0") + 8

    def check(self, name, file, sentence):
        code, output = describe(file)
        lines = output.splitlines()
        said = lines[-1] if lines else ""
        good = code == 1 and said == f"postern: {sentence}"
        report(f"refuses_{name}", good, f"exit {code}\nsays     {said}\nexpected "
                                        f"postern: {sentence}")
        report(f"runs_nothing_of_{name}", not any(self.work.glob("**/*.mark")))
        for mark in self.work.glob("**/*.mark"):
            mark.unlink()


def check_versions(bad):
    major, minor = bad.offered
    remedy = "Rebuild the module or upgrade the gateway."
    offers = f"this gateway offers {major}.{minor}. {remedy}"
    for name, built in (("wrong_major", (major + 2, 0)), ("newer_minor", (major, minor + 1))):
        file = bad.build(name, LATER_INTERFACE % built + MODULE)
        bad.check(name, file, f"module bad was built for gateway interface "
                              f"{built[0]}.{built[1]}; {offers}")

    file = bad.build("larger_struct", MODULE)
    at = bad.note_at(file)
    (size,) = struct.unpack("=I", file.read_bytes()[at + 8:at + 12])
    bad.patch(file, at + 8, struct.pack("=I", size + 8))
    bad.check("larger_struct", file, f"module bad describes itself in {size + 8} bytes; this "
                                     f"gateway knows only {size} of them. {remedy}")


def check_symbols(bad):
    for name, flag in (("missing_symbol", "-Wl,-z,now"), ("missing_symbol_lazy", "-Wl,-z,lazy")):
        file = bad.build(name, MODULE + CALLS_NOTHING, flag)
        bad.check(name, file, f"cannot load {file}: undefined symbol: pn_no_such_function")


def check_files(bad):
    file = bad.build("no_note", "int nothing;")
    bad.check("no_note", file, f"cannot load {file}: it has no Postern note: it is no module, or "
                               "PN_MODULE() is missing")

    file = bad.work / "text.so"
    file.write_text("This is not a module.\n")
    bad.check("text_file", file, f"cannot load {file}: it is not an ELF file")

    file = bad.work / "empty.so"
    file.write_text("")
    bad.check("empty_file", file, f"cannot load {file}: it is not an ELF file")

    file = bad.build("other_architecture", MODULE)
    (machine,) = struct.unpack("=H", file.read_bytes()[18:20])
    bad.patch(file, 18, struct.pack("=H", 22 if machine != 22 else 62))
    bad.check("other_architecture", file,
              f"cannot load {file}: it was built for another architecture")

    file = bad.build("cut_short", MODULE)
    os.truncate(file, 100)
    bad.check("file_that_was_cut_short", file, f"cannot load {file}: the file is damaged")

    file = bad.build("wrong_name", MODULE)
    renamed = file.rename(bad.work / "wrong_name.la")
    bad.check("la_file", renamed, f"{renamed} is not a module: its name does not end in .so")

    file = bad.work / "missing.so"
    bad.check("file_that_is_not_there", file, f"cannot open {file}: No such file or directory")

    link = bad.work / "link.so"
    link.symlink_to(bad.build("linked", MODULE))
    bad.check("symbolic_link", link, f"{link} is a symbolic link; name the file itself")

    (bad.work / "directory.so").mkdir()
    bad.check("directory", bad.work / "directory.so",
              f"{bad.work / 'directory.so'} is not a regular file")


def check_rights(bad):
    advice = "and see what is in it"
    for name, mode, who in (("group_writable_directory", 0o775, "its group"),
                            ("world_writable_directory", 0o1777, "everybody")):
        directory = bad.work / name
        directory.mkdir()
        file = bad.build(name, MODULE).rename(directory / "bad.so")
        directory.chmod(mode)
        bad.check(name, file, f"{directory} may be written by {who}; take that right away "
                              f"(chmod go-w {directory}) {advice}")
    file = bad.build("group_writable_file", MODULE)
    file.chmod(0o775)
    bad.check("group_writable_file", file, f"{file} may be written by its group; take that right "
                                           f"away (chmod go-w {file}) {advice}")
    if os.geteuid() == 0:
        file = bad.build("foreign_file", MODULE)
        os.chown(file, 12345, 12345)
        bad.check("file_of_another_user", file, f"{file} belongs to user 12345; modules are loaded "
                  "only from what root or the gateway's own user owns")


def check_control(bad):
    """The mark would be seen: a good module leaves it."""
    file = bad.build("good", MODULE)
    code, output = describe(file)
    report("a_good_module_leaves_its_mark", code == 0 and bad.mark("good").exists(), output)
    bad.mark("good").unlink(missing_ok=True)


def main():
    os.umask(0o022)
    work = pathlib.Path(tempfile.mkdtemp(prefix="postern-interface-"))
    prefix = work / "prefix"
    try:
        if install(prefix):
            compile_headers(prefix)
            build_with_cmake(work, prefix, "hello")
            build_with_cmake(work, prefix, "hello_stage")
            build_with_pkg_config(work, prefix)
            bad = Bad(work, prefix)
            check_control(bad)
            check_versions(bad)
            check_symbols(bad)
            check_files(bad)
            check_rights(bad)
    finally:
        shutil.rmtree(work)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
