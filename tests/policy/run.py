#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The specs of the policies that ship, and `postern policy test` itself.

    run.py [--build DIR] [NAME …]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

POLICY = '''local map = table.open("map")
on("connection.open", { on_error = "reject" }, function(session)
	sleep("2s")
	error("oops")
end)
on("client.hello", function(session)
	while true do end
end)
on("envelope.recipient", { order = "late" }, function(session, recipient)
	return reject(550, "5.1.1", "late")
end)
on("envelope.recipient", { mode = "shadow" }, function(session, recipient)
	return reject(550, "5.1.1", "shadow")
end)
on("envelope.recipient", { order = "early" }, function(session, recipient)
	local value = map:find_address(recipient.address)
	if value then
		return redirect(value)
	end
end)
on("message.decide", function(session, message)
	message:set_fact("empty", "")
	session:set_note("seen", clock.now() .. "")
	message:add_header("X-Seen", "yes")
	message:add_score("x", 1.5)
	return quarantine("Junk")
end)
on("message.change", function(session, message)
	message:add_header("X-Lost", "yes")
	error("after an edit")
end)
on("auth.verify", function(session, attempt)
	if attempt:secret_is("secret") and attempt.identity == "a@example.org" then
		return accept()
	end
	return reject()
end)
on("client.request", function(session, request)
	if session.is_early_talker or session.unauthorised_pipelining > 1 then
		return drop()
	end
	return reject(550, "5.7.1", request.kind .. " " .. request.argument)
end)
on("recipient.route", function(session, recipient)
	if session == nil then
		return hold()
	end
end)
'''

SPEC_HEAD = 'policy("x.lua", nil, { files = { map = "@example.org b@example.org\\n" } })\n'


class Failed(Exception):
    """A test did not see what it should."""


def check(condition, text):
    """Ends the test with a sentence."""
    if not condition:
        raise Failed(text)


class Kit:
    """What a spec can say, and what becomes of it."""

    def __init__(self, build):
        self.program = os.path.join(build, "postern")

    def test(self, spec, *words, head=SPEC_HEAD, policy=POLICY):
        """Runs one spec beside the policy; the finished process."""
        with tempfile.TemporaryDirectory() as directory:
            for name, text in (("x.lua", policy), ("x.spec.lua", head + spec)):
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(text)
            return subprocess.run([self.program, "policy", "test", *words, "x.spec.lua"],
                                  cwd=directory, capture_output=True, text=True, timeout=60,
                                  check=False)

    def holds(self, body):
        """The case must hold."""
        done = self.test(f'it("case", function()\n{body}\nend)\n')
        check(done.returncode == 0, f"{done.stdout}{done.stderr}")

    def fails(self, body, words, line=None):
        """The case must fail, with these words and at this line of the body."""
        done = self.test(f'it("case", function()\n{body}\nend)\n')
        check(done.returncode == 1, f"it ended with {done.returncode}: {done.stdout}")
        check("not ok x.spec.lua: case" in done.stdout and words in done.stdout, done.stdout)
        if line is not None:
            check(f"x.spec.lua:{line + 2}:" in done.stdout, f"where? {done.stdout}")

    def hooks_run_in_the_engine(self):
        self.holds('local said, failure = run("connection.open")\n'
                   'equal(said, "reject 554 5.3.0 local error in processing")\n'
                   'equal(failure, "x.lua:4: oops")')
        self.holds('equal(run("envelope.recipient", { recipient = "a@example.net" }), "reject 550 5.1.1 late")\n'
                   'equal(run("envelope.recipient", { recipient = "a@example.org" }), "redirect b@example.org")')
        self.holds('local text = "From: a\\r\\nSubject: x\\r\\n\\r\\nbody\\r\\n"\n'
                   'equal(run("message.decide", { message = text }), "quarantine Junk")\n'
                   'equal(header("x-seen"), "yes") equal(header("Subject"), "x") equal(header("None"), nil)\n'
                   'equal(header(), "X-Seen: yes\\r\\nFrom: a\\r\\nSubject: x\\r\\n\\r\\n")\n'
                   'equal(score(), 1.5) equal(fact("empty"), "") equal(fact("other"), nil)\n'
                   'equal(session_note("seen"), "1700000000.0")')
        self.holds('equal(run("auth.verify", { attempt = { identity = "a@example.org", secret = "secret" } }), "accept")\n'
                   'equal(run("auth.verify", { attempt = { secret = "wrong" } }), "reject 550 5.7.1 refused by policy")')
        self.holds('equal(run("client.request", { request = { kind = "summon", argument = "a.example" } }),\n'
                   '      "reject 550 5.7.1 summon a.example")\n'
                   'equal(run("client.request", { request = { }, is_early_talker = true }), "drop")\n'
                   'equal(run("client.request", { request = { }, unauthorised_pipelining = 2 }), "drop")')
        self.holds('equal(run("recipient.route", { recipient = "a@example.net" }), "continue")\n'
                   'equal(run("recipient.route", { recipient = "a@example.net", no_session = true }), "hold")')

    def edits_of_a_hook_that_failed_are_undone(self):
        self.holds('run("message.change", { message = "From: a\\r\\n\\r\\n" })\n'
                   'equal(header(), "From: a\\r\\n\\r\\n")')

    def time_is_told(self):
        self.holds('run("message.decide", { message = "\\r\\n" })\n'
                   'equal(session_note("seen"), "1700000000.0")\nadvance("10m")\n'
                   'run("message.decide", { message = "\\r\\n" })\n'
                   'equal(session_note("seen"), "1700000600.0")')

    def budgets_are_those_of_production(self):
        self.holds('local said, failure = run("client.hello")\n'
                   'equal(said, "defer 451 4.3.0 local error in processing")\n'
                   'equal(failure, "x.lua:7: used more than 50 ms of processor time")')

    def every_case_begins_in_a_fresh_world(self):
        done = self.test('it("one", function()\nrun("message.decide", { message = "\\r\\n" })\nend)\n'
                         'it("two", function()\nequal(session_note("seen"), nil)\nend)\n')
        check(done.returncode == 0, done.stdout)

    def failures_say_where_and_what(self):
        self.fails('local x\nequal({ a = 1, 2 }, { a = 1, 3 }, "tables")',
                   "tables: wanted { 3, a = 1 }, got { 2, a = 1 }", 2)
        self.fails('equal(run("connection.open"), "continue")', "a hook failed: x.lua:4: oops", 1)
        self.fails('run("client.helo")', 'there is no stage "client.helo"', 1)
        self.fails('run("client.hello", { helo = "x" })', 'run has no field "helo"', 1)
        self.fails('run("envelope.sender")', "no hook at envelope.sender", 1)
        self.fails('run("message.decide", { sender = "x" })', '"x" is no address', 1)
        self.fails('run("message.decide", { message = "x" })', "the message has no header", 1)
        self.fails('dns("x", "Y", "z")', 'there is no type "Y"', 1)
        self.fails('advance("10")', "write a duration", 1)
        self.fails('policy("x.lua")', "policy stands outside of cases", 1)
        self.fails('it("y", function() end)', "one case stands within another", 1)
        self.fails('score()', "there is no message", 1)
        self.fails('flags()', "no recipient was asked about", 1)
        self.fails('error("mine")', "mine", 1)

    def one_failure_does_not_hide_the_others(self):
        done = self.test('it("one", function() error("x") end)\nit("two", function() end)\n'
                         'it("three", function() error("y") end)\n')
        check(done.returncode == 1 and "# 1 passed, 2 failed" in done.stdout, done.stdout)

    def a_spec_that_is_wrong_as_a_whole_fails(self):
        for head, spec, words in (("", "x y", "syntax error"), ("", "", "it has no case"),
                                  ("", 'policy("none.lua")', "there is no file none.lua"),
                                  ("", 'policy("x.lua", { ["nothing"] = "" })', "nothing to replace"),
                                  ("", 'policy("x.lua", nil, { frm = 1 })', 'no option "frm"'),
                                  ("", 'policy("x.lua", nil, { files = { ["../y"] = "" } })', "beside the policy"),
                                  ("", 'policy("x.lua")', "cannot read"),
                                  ("", 'run("client.hello")', "run stands within a case")):
            done = self.test(spec, head=head)
            check(done.returncode == 1 and words in done.stdout, f"{spec}: {done.stdout}")
        done = self.test("", policy="on(", head=SPEC_HEAD)
        check(done.returncode == 1 and "x.lua:1:" in done.stdout, done.stdout)

    def hooks_that_were_never_asked_are_told(self):
        done = self.test('it("one", function() run("client.hello") end)\n')
        check("# 1 of 10 hooks were asked" in done.stdout, done.stdout)
        check("# never asked: x.lua:21 at message.decide" in done.stdout, done.stdout)

    def programs_get_it_as_json(self):
        done = self.test('it("one", function() run("client.hello") end)\n'
                         'it("two", function() error("no") end)\n', "--json")
        told = json.loads(done.stdout)
        check(done.returncode == 1 and told["passed"] == 1 and told["failed"] == 1, told)
        cases = told["specs"][0]["cases"]
        check([case["ok"] for case in cases] == [True, False] and "no" in cases[1]["failure"], cases)
        hooks = {hook["hook"]: hook["calls"] for hook in told["specs"][0]["hooks"]}
        check(hooks["x.lua:6"] == 1 and hooks["x.lua:21"] == 0, hooks)

    def wrong_usage_is_told(self):
        for words, status in ((["policy"], 2), (["policy", "tset"], 2), (["policy", "--help"], 0),
                              (["policy", "test", "/nowhere"], 1), (["policy", "test"], 1)):
            with tempfile.TemporaryDirectory() as directory:
                done = subprocess.run([self.program, *words], cwd=directory, capture_output=True,
                                      text=True, timeout=30, check=False)
            check(done.returncode == status, f"{words}: {done.returncode} {done.stderr}")

    def the_web_and_the_cache_are_told(self):
        policy = '''on("client.hello", function(session)
	local page, why = http.get("http://example.org/" .. session.hello)
	if not page then return defer(450, "4.7.1", why) end
	local number = cache.add("n", 1, "1m")
	return reject(550, "5.7.1", page.status .. page.body .. (page.headers["x-a"] or "") .. number)
end)
'''
        done = self.test('''it("told", function()
	http("http://example.org/a", "text") http("http://example.org/b", { status = 404, headers = { ["x-a"] = "y" } })
	http("http://example.org/c", false)
	equal(run("client.hello", { hello = "a" }), "reject 550 5.7.1 200text1")
	equal(run("client.hello", { hello = "b" }), "reject 550 5.7.1 404y2")
	equal(run("client.hello", { hello = "c" }), "defer 450 4.7.1 trouble")
	equal(run("client.hello", { hello = "d" }), "defer 450 4.7.1 the spec says nothing of this address")
	equal(requests(), { "GET http://example.org/a", "GET http://example.org/b", "GET http://example.org/c", "GET http://example.org/d" })
end)
it("forgotten", function()
	http("http://example.org/a", "text")
	equal(run("client.hello", { hello = "a" }), "reject 550 5.7.1 200text1")
end)
''', head='policy("x.lua")\n', policy=policy)
        check(done.returncode == 0, done.stdout)

    def a_shadow_plays_and_changes_nothing(self):
        policy = '''on("message.decide", { %s }, function(session, message)
	session:set_note("a", "mine")
	message:set_note("b", "mine")
	message:set_fact("c", "mine")
	assert(session:note("a") == "mine" and message:note("b") == "mine" and message:fact("c") == "mine")
	message:add_header("X-A", "mine")
	assert(message:header("X-A") == "mine")
	message:add_score("s", 5)
	message:set_sender("other@example.net")
	message:set_priority(9) message:set_tenant("t") message:set_release(2e9) message:set_lifetime(60)
	return reject(550, "5.7.1", "no")
end)
on("recipient.route", { %s }, function(session, recipient)
	recipient:route { mx = "elsewhere.example" }
	recipient:expand { "x@example.net" }
end)
on("mailbox.deliver", { %s }, function(session, recipient)
	recipient:set_mailbox("Other") recipient:set_flags("$Junk")
end)
on("message.scan", { %s }, function(session, message)
	message:add_header("X-B", "mine")
end)
on("message.decide", { order = "late" }, function(session, message)
	session:set_note("seen", (session:note("a") or "none") .. (message:note("b") or "none") .. (message:fact("c") or "none"))
end)
'''
        spec = '''it("case", function()
	local counts = %s
	local text = "From: a\\r\\n\\r\\n"
	local said, failure, shadow = run("message.decide", { message = text })
	equal(failure, nil)
	equal(said, counts and "reject 550 5.7.1 no" or "continue")
	equal(shadow, not counts and "reject" or nil)
	equal(session_note("a"), counts and "mine" or nil)
	equal(note("b"), counts and "mine" or nil)
	equal(fact("c"), counts and "mine" or nil)
	equal(fact("shadow.c"), not counts and "mine" or nil)
	equal(score(), counts and 5 or 0)
	equal(sender(), counts and "other@example.net" or "sender@example.net")
	equal(waiting(), counts and { priority = 9, tenant = "t", release = 2000000000, lifetime = 60 } or { priority = waiting().priority, release = 0, lifetime = 0 })
	assert(counts or waiting().priority ~= 9)
	equal(header("X-A"), counts and "mine" or nil)
	if not counts then equal(session_note("seen") or "nonenonenone", "nonenonenone") end
	run("recipient.route", { recipient = "a@example.net" })
	equal(route(), counts and "elsewhere.example" or nil)
	equal(targets(), counts and { "x@example.net" } or nil)
	run("mailbox.deliver", { recipient = "a@example.org" })
	equal(mailbox(), counts and "Other" or "INBOX")
	run("message.scan", { message = text })
	equal(header("X-B"), counts and "mine" or nil)
end)
'''
        for mode, head, counts in (("", 'policy("x.lua")', "true"), ('mode = "shadow"', 'policy("x.lua")', "false"),
                                   ('mode = "decide"', 'policy("x.lua", nil, { mode = "shadow" })', "false")):
            done = self.test(spec % counts, head=head + "\n", policy=policy % ((mode,) * 4))
            check(done.returncode == 0, f"{mode} {head}: {done.stdout}")

    def an_observer_changes_what_it_likes_and_decides_nothing(self):
        policy = '''on("message.decide", function(session, message)
	message:add_header("X-A", "mine")
	return reject(550, "5.7.1", "no")
end)
'''
        spec = '''it("case", function()
	equal(run("message.decide", { message = "From: a\\r\\n\\r\\n" }), "continue")
	equal(header("X-A"), "mine")
end)
'''
        done = self.test(spec, head='policy("x.lua", nil, { mode = "observe" })\n', policy=policy)
        check(done.returncode == 0, done.stdout)

    def deliveries_are_told(self):
        policy = '''on("delivery.response", function(session, delivery, recipient, message)
	assert(session == nil)
	if delivery.class == "mailbox" and delivery.attempts > 2 then
		return reject(550, "5.2.2", recipient.address .. " " .. delivery.code .. delivery.enhanced .. delivery.text .. delivery.outcome)
	end
end)
on("bounce.create", function(session, delivery)
	if delivery.bounce_kind == "delayed" then return discard("nobody reads it") end
end)
'''
        done = self.test('''it("told", function()
	local fields = { recipient = "a@example.net", delivery = { class = "mailbox", attempts = 2, code = 452, enhanced = "4.2.2", text = "full", outcome = "deferred" } }
	equal(run("delivery.response", fields), "continue")
	fields.delivery.attempts = 3
	equal(run("delivery.response", fields), "reject 550 5.2.2 a@example.net 4524.2.2fulldeferred")
	equal(run("bounce.create", { recipient = "a@example.net", delivery = { bounce_kind = "delayed" } }), "discard nobody reads it")
	equal(run("bounce.create", { recipient = "a@example.net", delivery = { bounce_kind = "failed" } }), "continue")
end)
''', head='policy("x.lua")\n', policy=policy)
        check(done.returncode == 0, done.stdout)

    def every_script_has_its_spec(self):
        for name in os.listdir(os.path.join(ROOT, "scripts")):
            if name.endswith(".lua"):
                check(os.path.exists(os.path.join(HERE, name[:-4] + ".spec.lua")), f"{name} has no spec")


def main():
    """Runs the tests, then the specs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "main"))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    kit = Kit(os.path.abspath(arguments.build))
    failed = 0
    for name, value in vars(Kit).items():
        if name in ("test", "holds", "fails") or name.startswith("_") or not callable(value):
            continue
        if arguments.names and not any(word in name for word in arguments.names):
            continue
        problem = None
        try:
            getattr(kit, name)()
        except (Failed, OSError, subprocess.SubprocessError, ValueError) as error:
            problem = str(error)
        except Exception:
            problem = traceback.format_exc()
        print(("ok " if problem is None else "not ok ") + name, flush=True)
        if problem is not None:
            failed += 1
            print("\n".join("# " + line for line in problem.splitlines()), flush=True)
    if not arguments.names:
        done = subprocess.run([kit.program, "policy", "test", HERE], timeout=300, check=False)
        failed += done.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
