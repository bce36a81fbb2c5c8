#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attacks on the wire, as tables; prints "ok NAME" or "not ok NAME", and counts.

    tests/attacks/run.py --build DIR [--long] [smuggling | injection …]
"""

import argparse
import os
import sys
import traceback

import injection
import smuggling

PARTS = {"smuggling": smuggling.run, "injection": injection.run}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/gcc")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    good = True
    for name, run in PARTS.items():
        if arguments.names and name not in arguments.names:
            continue
        try:
            good = run(os.path.abspath(arguments.build), arguments.long) and good
        except Exception:  # a part that cannot go on has failed
            print("".join("#   " + line for line in traceback.format_exc().splitlines(keepends=True)), end="")
            print(f"not ok {name}", flush=True)
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
