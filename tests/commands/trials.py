# SPDX-License-Identifier: Apache-2.0
"""Specs of policies that are not as they should be, and the story of an id: nothing is passed over."""

import json
import os

from support import check, connect, postern, wait_for
from transfer import ask

POLICY = """
on("auth.verify", function(session, attempt)
	if attempt.identity == "12345" then return accept() end
	return reject(535, "5.7.8", "it is " .. attempt.identity)
end)
on("envelope.recipient", function(session, recipient) return reject(550, "5.1.1", "no") end)
"""
SPEC = """
policy "tried.lua"
it("numbers are texts, and live as long as they must", function()
	for _ = 1, 50 do
		local attempt = { identity = 12300 + 45, secret = 4711 }
		equal(run("auth.verify", { attempt = attempt }), "accept")
		collectgarbage()
	end
end)
"""
WRONG = ('recipients = "a@example.org"', 'recipients = { "a@example.org", 5 }', "message = 5", 'attempt = "x"')


class Trials:
    """`postern policy test`, and `postern explain`."""

    OPTIONS = {"more": 'policy { "odd.lua" }', "tls": False}
    FILES = {"odd.lua": 'on("envelope.sender", function(session) error("\\27[2J\\u{202e}odd: größer") end)\n'}

    def __init__(self, gateway):
        self.gateway = gateway

    def folder(self, name, files):
        """A folder with a policy and these specs."""
        path = os.path.join(self.gateway.directory, name)
        os.mkdir(path)
        for each, text in (("tried.lua", POLICY), *files.items()):
            self.gateway.write(os.path.join(name, each), text)
        return path

    folder.is_helper = True

    def test(self, *words, status=0):
        """Runs specs, without a configuration."""
        done = postern(self.gateway, "policy", "test", *words)
        check(done.returncode == status, f"{done.returncode}: {done.stdout} {done.stderr}")
        return done.stdout + done.stderr

    test.is_helper = True

    def fields_of_a_run_are_what_they_must_be(self):
        folder = self.folder("fields", {"good.spec.lua": SPEC})
        check("1 passed, 0 failed" in self.test(folder), "numbers")
        cases = "".join(f'it("case {number}", function() run("envelope.recipient", {{ {field} }}) end)\n'
                        for number, field in enumerate(WRONG))
        said = self.test(self.folder("wrong", {"wrong.spec.lua": 'policy "tried.lua"\n' + cases}), status=1)
        for word in ("recipients is a table", "recipients is a list of texts", "message is a text",
                     "attempt is a table"):
            check(word in said, f"{word}: {said}")

    def a_spec_that_cannot_be_run_is_no_success(self):
        folder = self.folder("gone", {"good.spec.lua": SPEC})
        os.symlink("nowhere", os.path.join(folder, "gone.spec.lua"))
        check("gone.spec.lua: No such file" in self.test(folder, status=1), "a link to nowhere")
        many = self.folder("many", {f"{number}.spec.lua": SPEC for number in range(1001)})
        check("more than 1000 specs" in self.test(many, status=1), "too many")

    def an_answer_that_is_too_long_is_no_json(self):
        text = 'policy "tried.lua"\nit("long", function() error(string.rep("x", 17 * 1024 * 1024)) end)\n'
        folder = self.folder("long", {"long.spec.lua": text})
        said = self.test(folder, "--json", status=1)
        check("run fewer at once" in said and len(said) < 1000, said[:200])

    def a_story_does_nothing_to_a_terminal(self):
        with connect(self.gateway) as client:
            check(client.docmd("MAIL FROM:<a@sender.test>")[0] == 451, "a hook that fails")
            check(client.docmd("NOOP")[0] == 250, "the session")
        history = os.path.join(self.gateway.directory, "data", "history")

        def sessions():
            found = []
            for name in os.listdir(history):
                if name.endswith(".jsonl"):
                    with open(os.path.join(history, name), encoding="utf-8") as file:
                        found += [event["session"] for event in map(json.loads, file)
                                  if "odd" in json.dumps(event.get("hooks", []))]
            return found
        text = ask(self.gateway, "explain", wait_for(sessions, "the session in the history")[0])
        check("odd: größer" in text, text)
        check("\x1b" not in text and "\u202e" not in text, repr(text))
