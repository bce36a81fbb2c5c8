# SPDX-License-Identifier: Apache-2.0
"""Policies in a gateway that runs: their tables, and what is told of their hooks."""

import http.server
import json
import os
import ssl
import threading
import time
import urllib.request

from support import HERE, check, connect, edges, make_certificate, postern, send_over, wait_for

SCRIPTS = os.path.join(HERE, "..", "..", "scripts")
TABLE = '''local blocked = table.open("blocked", { format = "list" })
on("envelope.sender", function(session, message)
	if blocked:find_domain(message.sender_domain) then
		return reject(550, "5.7.1", "blocked")
	end
end)
'''

COUNTING = '''on("envelope.sender", function(session, message)
	local within, count = cache.rate("all", 20, "10m")
	if not within then
		return defer(450, "4.7.1", "that is number " .. count)
	end
end)
'''

COSTLY = '''on("client.hello", function(session)
	sleep("30ms")
	local sum = 0
	for i = 1, 100000 do sum = sum + i end
end)
on("envelope.sender", { on_error = "continue" }, function(session, message)
	error("always")
end)
on("envelope.sender", { on_error = "continue", budget = "20ms" }, function(session, message)
	sleep("10s")
end)
'''

ASKING = '''local base, tls, outside = "http://127.0.0.1:%(port)u", "https://127.0.0.1:%(tls)u", "%(outside)s"
local function show(page, why)
	return page and page.status .. " " .. page.body:sub(1, 60) .. " " .. (page.headers["x-kind"] or "") or "nil " .. why
end
local cases = {
	get = function() return show(http.get(base .. "/ok")) end,
	post = function() return show(http.post(base .. "/echo", "a\\0b", { headers = { ["X-Mine"] = "yes" } })) end,
	head = function() return show(http.request { url = base .. "/ok", method = "HEAD" }) end,
	put = function() return show(http.request { url = base .. "/echo", method = "PUT", body = "put" }) end,
	missing = function() return show(http.get(base .. "/none")) end,
	stays = function() return show(http.get(base .. "/redirect")) end,
	follows = function() return show(http.get(base .. "/redirect", { redirects = true })) end,
	circle = function() return show(http.get(base .. "/circle", { redirects = true })) end,
	elsewhere = function() return show(http.get(base .. "/file", { redirects = true })) end,
	large = function() return show(http.get(base .. "/large", { max_body = "1023k" })) end,
	fits = function() return show(http.get(base .. "/large", { max_body = "1M" })) end,
	slow = function() return show(http.get(base .. "/slow", { timeout = "300ms" })) end,
	closed = function() return show(http.get("http://127.0.0.1:1/")) end,
	breaks = function() return show(http.get(base .. "/break")) end,
	file = function() return show(http.get("file:///etc/passwd")) end,
	none = function() return show(http.get("no url at all")) end,
	line = function() return show(http.get(base .. "/ok", { headers = { ["X-A"] = "b\\r\\nX-C: d" } })) end,
	host = function() return show(http.get(base .. "/ok", { headers = { Host = "other" } })) end,
	certificate = function() return show(http.get(tls .. "/ok")) end,
	name = function() return show(http.get("http://localhost:%(port)u/ok")) end,
	number = function() return show(http.get("http://2130706433:%(port)u/ok")) end,
}
on("envelope.sender", function(session, message)
	return reject(550, "5.7.1", cases[message.sender_local_part]())
end)
'''


class Pages(http.server.BaseHTTPRequestHandler):
    """What the policies ask for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body=b"", status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size) if size else b""
        if self.path == "/ok":
            self.answer(b"hello", X_Kind="plain")
        elif self.path == "/echo":
            self.answer(f"{self.command} {body!r} {self.headers.get('X-Mine')} {self.headers.get('Content-Type')}".encode())
        elif self.path == "/redirect":
            self.answer(b"over there", 302, Location="/ok")
        elif self.path == "/circle":
            self.answer(b"", 302, Location="/circle")
        elif self.path == "/file":
            self.answer(b"", 302, Location="file:///etc/passwd")
        elif self.path == "/large":
            self.answer(b"x" * (1024 * 1024))
        elif self.path == "/slow":
            time.sleep(3)
        elif self.path == "/break":
            self.close_connection = True
        else:
            self.answer(b"", 404)

    do_POST = do_PUT = do_HEAD = do_GET


class PolicyTests:
    """Joins the tests of run.py, whose gateway() it uses."""

    def tables_that_only_root_can_read_serve_the_policies(self):
        check(os.geteuid() == 0, "this test needs root")
        gateway = self.gateway(start=False, user="nobody", settings='group = "nogroup"',
                               more='policy "table.lua"',
                               files={"table.lua": TABLE, "blocked": "bad.test\n.bad.test\n"})
        for path in (gateway.directory, os.path.join(gateway.directory, "users"), gateway.config):
            os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
        table = os.path.join(gateway.directory, "blocked")
        os.chmod(table, 0o600)
        os.chmod(os.path.join(gateway.directory, "table.lua"), 0o600)
        gateway.start()

        def sent_from(sender):
            with connect(gateway) as client:
                return client.docmd(f"MAIL FROM:<{sender}>")[0]

        check(sent_from("x@a.bad.test") == 550 and sent_from("x@bad.test") == 550, "it blocks nothing")
        check(sent_from("x@good.test") == 250, "it blocks too much")
        # What is being written counts for nobody before a reload, not even for a new worker.
        gateway.write("blocked", "good.test\n")
        os.chmod(table, 0o600)
        pid = edges(gateway)[0]
        os.kill(pid, 9)
        wait_for(lambda: edges(gateway).get(0) not in (None, pid), "a worker started later")
        check(sent_from("x@bad.test") == 550 and sent_from("x@good.test") == 250, "it was read anew")
        check(postern(gateway, "reload").returncode == 0, "reload")
        check(sent_from("x@bad.test") == 250 and sent_from("x@good.test") == 550, "it was not read anew")
        # A mistake in it changes nothing, and is told with its line.
        gateway.write("blocked", "good.test\nthree words here\n")
        os.chmod(table, 0o600)
        done = postern(gateway, "reload")
        check(done.returncode == 1 and "blocked:2:" in done.stderr, f"reload: {done.stderr}")
        check(sent_from("x@good.test") == 550, "a mistake changed what is served")

    def workers_count_together_whoever_is_killed(self):
        gateway = self.gateway(workers=3, more='module "cache_local" { }\n'
                               'policy { "counting.lua", allow = { "cache" } }',
                               files={"counting.lua": COUNTING})
        codes = []
        for number in range(30):
            with connect(gateway) as client:
                code, text = client.docmd("MAIL FROM:<x@good.test>")
            codes.append(code)
            if number == 10:
                before = edges(gateway)
                for pid in before.values():
                    os.kill(pid, 9)
                wait_for(lambda: len(edges(gateway)) == 3 and
                         not set(edges(gateway).values()) & set(before.values()), "new workers")
        check(codes == [250] * 20 + [450] * 10, f"{codes}")
        check(text == b"4.7.1 that is number 30", text)

    def a_policy_that_wants_a_cache_is_told_how_to_get_one(self):
        gateway = self.gateway(start=False, files={"counting.lua": COUNTING},
                               more='policy { "counting.lua", allow = { "cache" } }')
        done = postern(gateway, "config", "check")
        check(done.returncode == 1 and 'add module "cache_local" { }' in done.stderr, done.stderr)

    def shipped(self, *names):
        """Scripts that ship, as files of a gateway, and the words that mention them."""
        files = {}
        for name in names:
            with open(os.path.join(SCRIPTS, name + ".lua"), encoding="utf-8") as file:
                files[name + ".lua"] = file.read()
        return files, "\n".join(f'policy {{ "{name}.lua", allow = {{ {allow} }} }}' for name, allow in
                                ((name, '"cache"' if name in ("greylist", "rate_limits") else "") for name in names))

    def shipped_scripts_serve_together(self):
        files, mentions = self.shipped("aliases", "rewrite", "routes", "rate_limits")
        gateway = self.gateway(more='module "cache_local" { }\n' + mentions, files={
            **files,
            "aliases": "both@virtual.test alice@example.test, bob@example.test\nvirtual.test domain\n"
                       "@example.test alice\nbob@example.test bob\ncarol@example.test carol\nalice@example.test alice\n",
            "canonical": "old@example.test bob@example.test\n",
            "routes": "gone.test reject 5.1.2 no mail there\n"})
        answers = {"both@virtual.test": "250", "nobody@virtual.test": "550 5.1.1 no such address here",
                   "alice@example.test": "250", "x@gone.test": "550 5.1.2 no mail there",
                   "x@elsewhere.test": "550 5.7.1", "whoever@example.test": "250", "old@example.test": "250"}
        for address, wanted in answers.items():
            with connect(gateway) as client:
                code, text = send_over(client, recipient=address)
            check(f"{code} {text}".startswith(wanted), f"{address}: {code} {text}")
        check(self.count_mail(gateway) == 3, f"alice has {self.count_mail(gateway)} messages")
        shown = json.loads(postern(gateway, "account", "show", "bob@example.test", "--json").stdout)
        check(shown["messages"] == 2, f"bob has {shown}")

    def a_policy_in_shadow_is_recorded_and_does_not_count(self):
        script = 'on("envelope.sender", function() return reject(550, "5.7.1", "would be refused") end)\n'
        gateway = self.gateway(more='policy { "shadow.lua", mode = "shadow" }', files={"shadow.lua": script})
        with connect(gateway) as client:
            check(client.docmd("MAIL FROM:<x@good.test>")[0] == 250, "it counted")
        check("shadow" in postern(gateway, "stages").stdout, "stages do not tell")
        gateway.stop()
        folder = os.path.join(gateway.directory, "data", "history")
        lines = []
        for name in os.listdir(folder):
            if name.endswith(".jsonl"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    lines += [json.loads(line) for line in file]
        hooks = [hook for line in lines for hook in line.get("hooks", []) if hook["hook"] == "shadow.lua:1"]
        check(len(hooks) == 1, f"{hooks}")
        check(hooks[0]["mode"] == "shadow" and hooks[0]["verdict"] == "reject" and hooks[0]["code"] == 550, hooks)

    def top_tells_what_each_hook_costs(self):
        gateway = self.gateway(workers=2, more='policy "costly.lua"', files={"costly.lua": COSTLY})

        def costs():
            done = postern(gateway, "top", "--once", "--json")
            check(done.returncode == 0, done.stderr)
            return {(row["hook"], row["stage"]): row for row in json.loads(done.stdout)["hooks"]}

        check(not [key for key in costs() if "costly" in key[0]], "costs before any call")
        for number in range(10):
            with connect(gateway) as client:
                check(client.docmd("MAIL FROM:<x@good.test>")[0] == 250, "no mail is taken")
            if number == 4:
                # What a worker counted is not lost with it.
                before = edges(gateway)
                for pid in before.values():
                    os.kill(pid, 9)
                wait_for(lambda: len(edges(gateway)) == 2 and
                         not set(edges(gateway).values()) & set(before.values()), "new workers")
        found = costs()
        hello, failing, late = (found[("costly.lua:1", "client.hello")],
                                found[("costly.lua:6", "envelope.sender")],
                                found[("costly.lua:9", "envelope.sender")])
        check(hello["calls"] == failing["calls"] == late["calls"] == 10, found)
        check(hello["failures"] == 0 and failing["failures"] == 10 and failing["timeouts"] == 0, found)
        check(late["failures"] == 10 and late["timeouts"] == 10, found)
        check(hello["wall_us"] >= 250000 and late["wall_us"] >= 150000, found)
        check(2000 < hello["cpu_us"] < hello["wall_us"], found)
        shown = postern(gateway, "top", "--once").stdout.splitlines()
        check(shown[0].startswith("HOOK") and any("costly.lua:9" in line for line in shown), shown)
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.ports['control']}/metrics",
                                    timeout=10) as answer:
            text = answer.read().decode()
        check('postern_hook_calls_total{stage="client.hello",hook="costly.lua:1"} 10' in text, text[-2000:])
        check('postern_hook_failures_total{stage="envelope.sender",hook="costly.lua:6"} 10' in text, "failures")

    def ask_pages(self, allow, wanted):
        """Runs the cases of ASKING with that grant; each must answer with its text."""
        gateway = self.gateway(start=False, more=f'policy {{ "asking.lua", allow = {{ "{allow}" }} }}')
        servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) for _ in range(2)]
        certificate, key = make_certificate(gateway.directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        servers[1].socket = context.wrap_socket(servers[1].socket, server_side=True)
        for server in servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            gateway.write("asking.lua", ASKING % {"port": servers[0].server_address[1],
                                                  "tls": servers[1].server_address[1], "outside": ""})
            gateway.start()
            wrong = []
            for name, text in wanted.items():
                with connect(gateway) as client:
                    said = client.docmd(f"MAIL FROM:<{name}@good.test>")[1].decode()
                if not said.startswith("5.7.1 " + text):
                    wrong.append(f"{name}: wanted {text!r}, got {said!r}")
            check(not wrong, "; ".join(wrong))
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()

    def policies_ask_the_web(self):
        self.ask_pages("http_private", {
            "get": "200 hello plain", "post": "200 POST b'a\\x00b' yes None", "head": "200  plain",
            "put": "200 PUT b'put' None None", "missing": "404", "stays": "302 over there",
            "follows": "200 hello plain", "circle": "nil Maximum (5) redirects followed",
            "elsewhere": "nil only http and https are spoken", "large": "nil the answer is too large",
            "fits": "200 xxxx", "slow": "nil no answer in time", "closed": "nil Failed to connect",
            "breaks": "nil Empty reply from server", "file": "nil only http and https are spoken",
            "none": "nil this is no address of a web page", "line": "nil this is no field of a header",
            "host": "nil this field of the header is not the caller's",
            "certificate": "nil SSL certificate problem", "name": "200 hello plain", "number": "200 hello plain",
        })

    def policies_without_the_grant_reach_no_private_address(self):
        denied = "nil its address is not a public one"
        self.ask_pages("http", {name: denied for name in ("get", "follows", "certificate", "name", "number", "closed")})
