# SPDX-License-Identifier: Apache-2.0
"""Nothing is injected: whatever a stranger can set, set to what ends lines, fields, texts and terminals somewhere.
Every sink is tried with a harmless value first; with a payload the message is refused, or it
has the same fields, the servers hear the same commands, and there are as many replies. Every line of the log
is one event. A policy that puts everything it is told into fields, facts, notes and
the log takes part. Run by run.py."""

import base64
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import unicodedata

from world import Client, World, check, Failure
from gateway import free_ports
from peer import OK, Drop, Peer

INJECTED = b"X-Injected: yes"
PAYLOADS = {
    "CR": b"a\rX-Injected: yes", "LF": b"a\nX-Injected: yes", "CRLF": b"a\r\nX-Injected: yes",
    "NUL": b"a\0X-Injected: yes", "NEL": b"a\x85X-Injected: yes\xc2\x85X-Injected: yes",
    "U+2028": b"a\xe2\x80\xa8X-Injected: yes\xe2\x80\xa9X-Injected: yes", "80-FF": bytes(range(128, 256)),
    "ESC": b"\x1b]0;title\x07\x1b[31m\x9b31m\x08\x7f", "quotes": b"\"'`\\<>();,:%s%n$(id) {}",
    "long": b"A" * 9000, "end": b"a\r\n.\r\nRSET\r\nMAIL FROM:<>\r\n", "header": b"a\r\n\r\nX-Injected: yes\r\n\r\nb",
    "fold": b"a\r\n X-Injected: yes\r\n\t\r\nb", "JSON": b'"}\n{"event":"forged","text":"', "C0": bytes(range(1, 32)),
}
HARMLESS = b"harmless"

POLICY = r"""
local function decode(text)
	return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local sinks = {
	add_value = function(message, value) message:add_header("X-Value", value) end,
	add_name = function(message, value) message:add_header(value, "x") end,
	replace_value = function(message, value) message:replace_header("X-Replaced", value) end,
	add_after_name = function(message, value) message:add_header("X-Value: " .. value, "x") end,
}

on("message.change", function(session, message)
	local function add(name, value)
		if value ~= nil and value ~= "" then
			pcall(message.add_header, message, name, value)
			pcall(message.set_fact, message, name, value)
			pcall(message.set_note, message, name, value)
			log.info(name .. ": " .. value)
		end
	end
	add("X-Hello", session.hello)
	add("X-Identity", session.identity)
	add("X-Peer", session.peer)
	add("X-Server-Name", session.tls_server_name)
	local shown = session.client_certificate
	if shown then
		add("X-Certificate-Name", shown.name)
		add("X-Certificate", shown.subject)
		add("X-Issuer", shown.issuer)
		add("X-Problem", shown.problem)
	end
	add("X-Sender", message.sender)
	for _, recipient in ipairs(message.recipients) do add("X-Recipient", recipient) end
	for _, name in ipairs { "ENVID", "AUTH", "SIZE", "BODY" } do add("X-" .. name, message:parameter(name)) end
	for _, who in ipairs { "client", "forwarded" } do
		for _, key in ipairs { "name", "address", "port", "protocol", "hello", "destination_address", "id", "source" } do
			add("X-" .. who .. "-" .. key:gsub("_", "-"), session:note(who .. "." .. key))
		end
	end
	for _, name in ipairs { "Subject", "Content-Disposition", "Message-ID", "From" } do add("X-Copy-" .. name, message:header(name)) end
	local number = session.hello:match("^dns(%d+)[.]")
	if number then
		for _, kind in ipairs { "PTR", "TXT", "MX" } do
			local list = dns.lookup("p" .. number .. ".names.test", kind)
			add("X-" .. kind, list and list[1])
		end
	end
	local sink = sinks[message:header("X-Sink")]
	if sink then pcall(sink, message, decode(message:header("X-Hex"))) end
end)

local verdicts = {
	reject = function(value) return reject(550, "5.7.1", value) end,
	defer = function(value) return defer(451, "4.7.1", value) end,
	discard = function(value) return discard(value) end,
	quarantine = function(value) return quarantine(value) end,
	redirect = function(value) return redirect(value) end,
	["redirect-local"] = function(value) return redirect("alice+" .. value .. "@example.test") end,
	["set-sender"] = function(value, message) message:set_sender(value .. "@sender.test") end,
	["set-tenant"] = function(value, message) message:set_tenant(value) end,
	["set-fact"] = function(value, message) message:set_fact("x" .. value, value) end,
	["set-note"] = function(value, message) message:set_note("x" .. value, value) end,
	["set-score"] = function(value, message) message:add_score(value, 1) end,
	["log-line"] = function(value) log.error(value) end,
	["fails"] = function(value) error(value) end,
}

on("message.decide", function(session, message)
	local verdict = verdicts[message:header("X-Sink")]
	if verdict then return verdict(decode(message:header("X-Hex")), message) end
end)

on("mailbox.deliver", function(session, recipient, message)
	if session == nil then return end
	local value = message:header("X-Hex")
	if message:header("X-Sink") == "set-mailbox" then recipient:set_mailbox(decode(value)) end
	if message:header("X-Sink") == "set-flags" then recipient:set_flags(decode(value)) end
end)

on("recipient.route", function(session, recipient, message)
	if session and message:header("X-Sink") == "route-host" then
		recipient:route { hosts = { decode(message:header("X-Hex")) .. ".names.test:1" } }
	end
	if session and message:header("X-Sink") == "expand" then
		recipient:expand { "alice+" .. decode(message:header("X-Hex")) .. "@example.test" }
	end
end)

on("client.hello", function(session)
	if session.hello == "refuse-with-certificate" then
		return reject(550, "5.7.1", session.client_certificate.subject .. session.tls_server_name)
	end
end)
"""

def xtext(text):
    return b"".join(b"+%02X" % byte if byte < 33 or byte > 126 or byte in b"+=" else bytes([byte]) for byte in text)


def b64(text):
    return base64.b64encode(text)


class Session:
    """A client that counts: one reply for each line, and nothing else is ever said."""

    def __init__(self, world, port="mx", tls=False, hello=b"EHLO client.test", before=b"", client=None):
        self.client = client or world.client(port, tls)
        self.over = False
        if before:
            self.client.send(before)
        reply = self.client.reply()
        self.over = not reply
        if hello:
            self.say(hello)

    def say(self, line):
        """A line, which may be several by now. The first reply; b"" where the session has ended."""
        if self.over:
            return b""
        self.client.send(line + b"\r\n")
        lines = (line + b"\r\n").split(b"\r\n")[:-1]
        bare = [i for i, each in enumerate(lines) if re.search(rb"[\r\n\0]", each)]
        wanted = bare[0] + 1 if bare else len(lines)
        replies = []
        while len(replies) < wanted:
            reply = self.client.reply()
            if not reply:
                break
            replies.append(reply)
        # "421 too many", a closed session: fewer is fine, more is not.
        if bare or len(replies) < wanted or replies[-1][:3] in (b"421", b"221"):
            check(self.client.rest() == b"", f"{line[:80]!r}: something else is said")
            self.over = True
        return replies[0] if replies else b""

    def letter(self, number, sender=b"<sender@sender.test>", recipient=b"<alice@example.test>", mail=b"", rcpt=b"", fields=b"",
               body=b"text\r\n"):
        """A whole message, if everything before it is taken."""
        for line in (b"MAIL FROM:" + sender + mail, b"RCPT TO:" + recipient + rcpt, b"DATA"):
            if not self.say(line)[:1] in (b"2", b"3"):
                return b""
            if b"\r\n" in line:
                return b""  # a client that says several commands says several commands
        self.client.send(b"X-Case: case-%06d-\r\nX-Replaced: old\r\n" % number + fields + b"\r\n" + body + b".\r\n")
        reply = self.client.reply()
        if not reply or reply[:3] == b"421" or reply[:9] == b"550 5.6.0":
            check(self.client.rest() == b"", "something else is said")
            self.over = True
        return reply

    def end(self):
        """As many replies as there were lines: what is next is the answer to what is said next."""
        if not self.over:
            check(self.client.ask(b"NOOP\r\n") == b"250 2.0.0 ok\r\n", "a reply too many")
            check(self.client.ask(b"QUIT\r\n")[:3] == b"221" and self.client.rest() == b"", "a reply too many")
        self.client.close()


SINKS = {}


def sink(name):
    def add(function):
        SINKS[name] = function
        return function
    return add


# ---- what is said in commands, as it is ----

def raw_line(name, port, text, log_in=False):
    @sink(name)
    def say(world, number, payload):
        session = Session(world, port)
        if log_in:
            session.say(b"AUTH PLAIN " + b64(b"\0alice\0postern"))
        session.say(text.replace(b"%p", payload))
        session.letter(number, *((b"<alice@example.test>",) if log_in else ()))
        session.end()


for command in ("VRFY", "EXPN", "ETRN", "NOOP", "HELP", "RSET", "STARTTLS", "AUTH", "AUTH PLAIN", "XCLIENT", "XFORWARD", "DATA", "QUIT"):
    raw_line(command, "mx", command.encode() + b" %p")
raw_line("verb", "mx", b"%p")
raw_line("LMTP verb", "lmtp", b"LHLO %p")


@sink("HELO")
def helo(world, number, payload):
    session = Session(world, hello=b"HELO " + payload)
    session.letter(number)
    session.end()


@sink("EHLO")
def ehlo(world, number, payload):
    session = Session(world, hello=b"EHLO " + payload)
    session.letter(number)
    session.end()


def in_letter(name, relayed=None, **words):
    """In MAIL or RCPT."""
    @sink(name)
    def say(world, number, payload):
        session = Session(world, "submission" if relayed else "mx")
        options = {key: value.replace(b"%p", payload) for key, value in words.items()}
        if relayed:
            session.say(b"AUTH PLAIN " + b64(b"\0alice\0postern"))
            options.setdefault("recipient", b"<u%d@" % number + relayed + b".next.test>")
            options.setdefault("sender", b"<alice@example.test>")
        session.letter(number, **options)
        session.end()


in_letter("MAIL local part", sender=b"<%p@sender.test>")
in_letter("MAIL quoted local part", sender=b'<"%p"@sender.test>')
in_letter("MAIL domain", sender=b"<sender@%p>")
in_letter("MAIL literal", sender=b"<sender@[%p]>")
in_letter("MAIL path", sender=b"%p")
in_letter("MAIL SMTPUTF8", sender=b"<%p@sender.test>", mail=b" SMTPUTF8")
for parameter in (b"ENVID", b"AUTH", b"BODY", b"SIZE", b"RET", b"BY", b"%p"):
    in_letter(f"MAIL {parameter.decode()}=", mail=b" " + parameter + b"=%p")
in_letter("RCPT local part", recipient=b"<%p@example.test>")
in_letter("RCPT quoted, relayed", b"plain", recipient=b'<"%p"@plain.next.test>')
in_letter("RCPT quoted, LMTP", b"lmtp", recipient=b'<"%p"@lmtp.next.test>')
in_letter("RCPT domain, relayed", b"plain", recipient=b"<u@%p.plain.next.test>")
in_letter("RCPT SMTPUTF8, relayed", b"chunks", recipient=b"<%p@chunks.next.test>", mail=b" SMTPUTF8")
in_letter("RCPT ORCPT raw", b"chunks", rcpt=b" ORCPT=rfc822;%p")
in_letter("RCPT NOTIFY", b"chunks", rcpt=b" NOTIFY=%p")


def coded(name, relayed, mail=b"", rcpt=b""):
    """In xtext, which says every byte."""
    @sink(name)
    def say(world, number, payload):
        session = Session(world, "submission")
        session.say(b"AUTH PLAIN " + b64(b"\0alice\0postern"))
        text = xtext(payload)[:90 if mail.startswith(b" ENVID") else 450]
        recipient = b"<refused-u%d@harsh.next.test>" % number if relayed == "report" else b"<u%d@" % number + relayed.encode() + b".next.test>"
        session.letter(number, b"<alice@example.test>", recipient, mail.replace(b"%p", text), rcpt.replace(b"%p", text))
        session.end()


for way in ("plain", "chunks", "report"):
    coded(f"ENVID in xtext, {way}", way, mail=b" ENVID=%p", rcpt=b" NOTIFY=SUCCESS,FAILURE")
    coded(f"AUTH in xtext, {way}", way, mail=b" AUTH=%p")
    coded(f"ORCPT in xtext, {way}", way, rcpt=b" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;%p")
coded("ORCPT utf-8 in xtext, report", "report", mail=b" SMTPUTF8", rcpt=b" NOTIFY=SUCCESS,FAILURE ORCPT=utf-8;%p")


# ---- who logs in ----

def login(name, *lines):
    @sink(name)
    def say(world, number, payload):
        session = Session(world, "submission")
        for line in lines:
            session.say(line(payload))
        session.letter(number, b"<alice@example.test>")
        session.end()


login("PLAIN identity", lambda p: b"AUTH PLAIN " + b64(b"\0" + p + b"\0postern")[:12000])
login("PLAIN authorization", lambda p: b"AUTH PLAIN " + b64(p + b"\0alice\0postern")[:12000])
login("PLAIN password", lambda p: b"AUTH PLAIN " + b64(b"\0alice\0" + p)[:12000])
login("LOGIN identity", lambda p: b"AUTH LOGIN", lambda p: b64(p)[:12000], lambda p: b64(b"postern"))
login("SCRAM identity", lambda p: b"AUTH SCRAM-SHA-256 " + b64(b"n,,n=" + p + b",r=abcdefgh")[:12000], lambda p: b"*")
login("SCRAM nonce", lambda p: b"AUTH SCRAM-SHA-256 " + b64(b"n,,n=alice,r=" + p)[:12000], lambda p: b"*")
login("XOAUTH2 user", lambda p: b"AUTH XOAUTH2 " + b64(b"user=" + p + b"\1auth=Bearer x\1\1")[:12000], lambda p: b"")
login("mechanism", lambda p: b"AUTH " + p + b" =")


@sink("POP3 USER")
def pop3(world, _number, payload):
    with Client(world.gateway.ports["pop3"]) as client:
        client.socket.sendall(b"USER " + payload[:200] + b"\r\nPASS postern\r\nQUIT\r\n")
        for line in client.rest().split(b"\r\n")[:-1]:
            check(re.fullmatch(rb"(\+OK|-ERR)[ -~]*", line), f"POP3 says {line!r}")


@sink("IMAP LOGIN and ID")
def imap(world, _number, payload):
    payload = payload[:900].replace(b"\0", b"")
    with Client(world.gateway.ports["imap"]) as client:
        client.socket.sendall(b'a ID ("name" {%d+}\r\n%s)\r\nb LOGIN {%d+}\r\n%s postern\r\nc LOGIN alice postern\r\n'
                              b'd SELECT {%d+}\r\n%s\r\ne LOGOUT\r\n' % ((len(payload), payload) * 3))
        for line in client.rest().split(b"\r\n")[:-1]:
            check(re.fullmatch(rb"(\*|[a-e]|\+)( [ -~]*)?", line), f"IMAP says {line!r}")


# ---- who is spoken for ----

def proxied(name, verb, attribute):
    @sink(name)
    def say(world, number, payload):
        session = Session(world)
        session.say(verb + b" " + attribute + b"=" + xtext(payload)[:250])
        if verb == b"XCLIENT":
            session.say(b"EHLO client.test")
        session.letter(number)
        session.end()


for attribute in (b"NAME", b"HELO", b"ADDR", b"PORT", b"PROTO", b"DESTADDR"):
    proxied(f"XCLIENT {attribute.decode()}", b"XCLIENT", attribute)
for attribute in (b"NAME", b"HELO", b"ADDR", b"PROTO", b"IDENT", b"SOURCE"):
    proxied(f"XFORWARD {attribute.decode()}", b"XFORWARD", attribute)


def balanced(name, header):
    @sink(name)
    def say(world, number, payload):
        session = Session(world, client=Client(world.proxied), before=header(payload))
        session.letter(number)
        session.end()


def version2(kind, value):
    """A header of version 2 with one more value."""
    rest = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.25") + struct.pack("!HH", 4711, 25)
    rest += struct.pack("!BH", kind, len(value)) + value
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(rest)) + rest


balanced("PROXY address", lambda p: b"PROXY TCP4 " + p[:60].split(b"\r\n")[0] + b" 192.0.2.25 4711 25\r\n")
balanced("PROXY UNKNOWN", lambda p: b"PROXY UNKNOWN " + p[:80].split(b"\r\n")[0] + b"\r\n")
balanced("PROXY authority", lambda p: version2(2, p[:255]))
balanced("PROXY certificate", lambda p: version2(0x20, b"\x07\0\0\0\0\x22" + struct.pack("!H", len(p[:200])) + p[:200]))
balanced("PROXY unique id", lambda p: version2(5, p[:128]))


# ---- DNS and TLS ----

@sink("PTR, TXT and MX")
def names(world, number, payload):
    index = ([HARMLESS] + list(PAYLOADS.values())).index(payload)
    session = Session(world, hello=b"EHLO dns%d.client.test" % index)
    session.letter(number)
    session.end()


def zone():
    """PTR, TXT and MX that say each payload. A label has 63 bytes."""
    lines = []
    for index, payload in enumerate([HARMLESS] + list(PAYLOADS.values())):
        text = "".join(f"\\{byte:03d}" for byte in payload[:60])
        lines += [f"p{index}.names.test. 60 IN PTR {text}.evil.test.", f'p{index}.names.test. 60 IN TXT "{text}"',
                  f"p{index}.names.test. 60 IN MX 10 {text}.evil.test."]
    return "\n".join(lines) + "\n"


class Certificates:
    """Certificates of clients with any bytes in them: a placeholder in DER is written over."""

    def __init__(self, directory):
        self.directory = directory
        self.key = os.path.join(directory, "client.key")
        self.count = 0
        # T61String: any byte is one.
        self.config = os.path.join(directory, "openssl.conf")
        with open(self.config, "w", encoding="ascii") as file:
            file.write("[req]\nstring_mask = MASK:0x4\ndistinguished_name = name\n[name]\n")
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", self.key],
                       check=True, capture_output=True)

    def make(self, field, text):
        text = text[:60]
        place = "Q" * len(text)
        subject, alternative = (f"/CN={place}", "DNS:x.test") if field == "CN" else ("/CN=x", f"email:{place}@x.test")
        done = subprocess.run(["openssl", "req", "-x509", "-new", "-config", self.config, "-key", self.key, "-days", "30", "-subj", subject, "-addext",
                               f"subjectAltName={alternative}", "-outform", "DER"], check=True, capture_output=True)
        self.count += 1
        path = os.path.join(self.directory, f"client{self.count}.pem")
        der = done.stdout.replace(place.encode(), text)
        with open(path, "wb") as file:
            file.write(b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n")
        return path, self.key


def shown(name, field):
    @sink(name)
    def say(world, number, payload):
        client = Client(world.gateway.ports["submissions"])
        client.start_tls(shows=world.certificates.make(field, payload))
        session = Session(world, hello=b"EHLO refuse-with-certificate", client=client)
        session.say(b"EHLO client.test")
        session.say(b"AUTH PLAIN " + b64(b"\0alice\0postern"))
        session.letter(number, b"<alice@example.test>")
        session.end()


shown("certificate, CN", "CN")
shown("certificate, SAN", "SAN")


@sink("SNI")
def server_name(world, number, payload):
    """What a client asks for is no name here: it is written into its hello."""
    place = b"q" * min(len(payload), 200)
    client = Client(world.gateway.ports["submissions"])
    from_client, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    labels = b".".join(place[i:i + 50] for i in range(0, len(place), 51)).decode()
    tls = context.wrap_bio(to_client, from_client, server_hostname=labels)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = from_client.read()
    check(labels.encode() in hello, "there is no name in it")
    client.send(hello.replace(labels.encode(), payload[:len(labels)].ljust(len(labels), b"x")))
    # Its hello was changed: the handshake fails, at the latest where both sum it up. The log has the name, if any.
    to_client.write(client.socket.recv(65536) or b"\0")
    try:
        tls.do_handshake()
    except ssl.SSLError:
        pass
    client.send(from_client.read())
    client.close()


# ---- the message ----

def field(name, text):
    @sink(name)
    def say(world, number, payload):
        session = Session(world)
        session.letter(number, fields=text.replace(b"%p", re.sub(rb"[\r\n\0]", b"?", payload)))
        session.end()


field("Subject", b"Subject: %p\r\n")
field("filename", b'Content-Type: text/plain; name="%p"\r\nContent-Disposition: attachment; filename="%p"\r\n')
field("Message-ID", b"Message-ID: <%p@x.test>\r\nReferences: <%p>\r\n")
field("From", b'From: "%p" <%p@x.test>\r\n')
field("name of a field", b"%p: x\r\n")
field("folded", b"Subject: a\r\n %p\r\n\t%p\r\n")


def encoded(name, text):
    """As encoded words and parameters, which decode to any byte."""
    @sink(name)
    def say(world, number, payload):
        session = Session(world)
        words = b" ".join(b"=?UTF-8?Q?" + b"".join(b"=%02X" % byte for byte in payload[i:i + 20]) + b"?=" for i in range(0, min(len(payload), 200), 20))
        percent = b"".join(b"%%%02X" % byte for byte in payload[:100])
        session.letter(number, fields=text.replace(b"%w", words).replace(b"%u", percent))
        session.end()


encoded("Subject, encoded", b"Subject: %w\r\nFrom: %w <x@x.test>\r\n")
encoded("filename, encoded", b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename*=UTF-8''%u\r\n")


# ---- policies ----

def scripted(name, recipient=b"<alice@example.test>"):
    @sink(f"policy, {name}")
    def say(world, number, payload):
        session = Session(world)
        session.letter(number, recipient=recipient, fields=b"X-Sink: %s\r\nX-Hex: %s\r\n" % (name.encode(), payload[:450].hex().encode()))
        session.end()


for word in ("add_value", "add_name", "replace_value", "add_after_name", "reject", "defer", "discard", "quarantine", "redirect",
             "redirect-local", "set-sender", "set-tenant", "set-fact", "set-note", "set-score", "log-line", "fails", "set-mailbox",
             "set-flags", "expand", "route-host"):
    scripted(word)


# ---- what other servers say ----

def answered(name, step, code, server=b"harsh"):
    """A server says it, mostly where it refuses; what it said is in the report, the log and the history."""
    @sink(f"server, {name}")
    def say(world, number, payload):
        session = Session(world, "submission")
        session.say(b"AUTH PLAIN " + b64(b"\0alice\0postern"))
        text = payload[:2000]
        recipient = b"u%d@%s.next.test" % (number, server)
        world.words[recipient] = (step, code + text + b"\r\n")
        session.letter(number, b"<alice@example.test>", b"<" + recipient + b">")
        session.end()


answered("MAIL", "mail", b"550 5.1.0 ")
answered("RCPT", "rcpt", b"550 5.1.1 ")
answered("RCPT, several lines", "rcpt", b"550-5.1.1 first\r\n550 5.1.1 ")
answered("RCPT, enhanced code", "rcpt", b"550 ")
answered("DATA", "data", b"550 5.1.0 ")
answered("end of data", "end", b"550 5.1.0 ")
answered("LMTP, end of data", "end", b"550 5.1.0 ", b"lmtp")
answered("banner", "connect", b"220 ")
answered("banner that refuses", "connect", b"554 ")
answered("EHLO", "ehlo", b"250-harsh.test\r\n250 ")
answered("EHLO, name", "ehlo", b"250 ")
answered("no code", "rcpt", b"")


def harsh_rules(words):
    """Rules for the peer: it says the words of a case once, then refuses its recipient in words of its own. Which
    case it is stands in RCPT; before it the words of the first case are said that has some there."""
    current = threading.local()

    def say(step, argument):
        if step in ("connect", "ehlo", "mail"):
            names = [name for name, (where, _) in list(words.items()) if where == step]
            text = words.pop(names[0])[1] if names else OK
            return text if step != "mail" or text is OK else Drop(text)
        if step == "rcpt":
            current.name = re.search(rb"<([^>]*)>", argument).group(1)
            if words.get(current.name, ("",))[0] not in ("rcpt", "data", "end"):
                return Drop(b"550 5.1.1 no such user\r\n")  # a new connection for the next
        if words.get(current.name, ("",))[0] == step:
            return Drop(words.pop(current.name)[1])
        return OK
    return {step: say for step in ("connect", "ehlo", "mail", "rcpt", "data", "end")}


def lmtp_rule(words):
    """The same for the end of data by LMTP."""
    answered_before = set()

    def say(_step, recipient):
        name = recipient.encode()
        if name in words:
            answered_before.add(name)
            return words.pop(name)[1]
        return b"550 5.1.1 no such user\r\n" if name in answered_before else OK
    return say


# ---- what came of it ----

def fields_of(text):
    """The names of the fields, read strictly: lines end with CRLF, and are fields or go on with one."""
    head, end, _ = text.partition(b"\r\n\r\n")
    check(end, f"the header has no end: {text[:300]!r}")
    check(not re.search(rb"\0|\r(?!\n)|(?<!\r)\n", head), f"no lines in the header: {head!r}")
    names = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            check(names and line.strip(), f"a line of blanks: {head!r}")
            continue
        names.append(line.split(b":")[0].strip().lower().decode("latin-1"))
    check("x-injected" not in names, f"a field was injected: {head!r}")
    return names


def parts_of(text):
    """The fields of each part of a report."""
    boundary = re.search(rb'boundary="([^"]+)"', text)
    check(boundary, "a report without a boundary")
    parts = text.split(b"\r\n--" + boundary.group(1))
    check(len(parts) == 5 and parts[4].startswith(b"--"), f"a report of {len(parts) - 2} parts")
    status = parts[2].split(b"\r\n\r\n", 1)[1]
    return [fields_of(text)] + [fields_of(each.lstrip(b"\r\n") + b"\r\n\r\n") for each in status.split(b"\r\n\r\n") if each.strip()]


COMMANDS = re.compile(r"> (EHLO|HELO|LHLO|MAIL|RCPT|DATA|BDAT|RSET|NOOP|QUIT|STARTTLS)\b")


def look_at_log(world):
    """Each line of the log is one event and nothing that a terminal or a reader of lines takes for more."""
    count = 0
    for line in world.log().split(b"\n"):
        if not line.startswith(b"{"):
            # What the processes say outside of events.
            check(not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", line), f"the log has {line[:200]!r}")
            check(b"forged" not in line and b"X-Injected" not in line, f"the log has {line[:200]!r}")
            continue
        event = json.loads(line)
        count += 1
        check(isinstance(event, dict) and event.get("event") != "forged", f"{line!r}")
        check(not re.search(rb"[\x00-\x1f\x7f]", line), f"the log has {line[:300]!r}")
        check(len(line.decode().splitlines()) == 1, f"a line that some take for more: {line[:300]!r}")
    return count


def look_at_history(world, texts):
    """What operators are shown of messages, on their terminals."""
    for text in texts:
        found = re.search(rb"\(Postern\) with [A-Z0-9]+ id ([a-z0-9]{20})", text)
        done = subprocess.run([os.path.join(world.gateway.build, "postern"), "explain", found.group(1).decode(), "--config",
                               world.gateway.config], capture_output=True, timeout=60, check=False)
        said = done.stdout.decode()
        check(done.returncode == 0 and said, f"explain: {done.stderr!r}")
        for line in said.split("\n"):
            check(len(line.splitlines()) <= 1 and not any(unicodedata.category(each) in ("Cc", "Zl", "Zp", "Cf") for each in line),
                  f"explain shows {line!r}")


def subsequence(names, of):
    left = iter(of)
    return all(name in left for name in names)


def shape_of(number, stored, relayed):
    """What is there of a case: lists of names of fields."""
    tag = b"case-%06d-" % number
    found = []
    for text in stored:
        if tag in text:
            found += parts_of(text) if b"multipart/report" in text.split(b"\r\n\r\n")[0] else [fields_of(text)]
    found += [fields_of(message.data) for message in relayed if tag in message.data]
    return found


def payloads_of(index, is_long):
    """All of them, or six, others for each sink."""
    names = list(PAYLOADS)
    return names if is_long else [names[(index + 5 * i) % len(names)] for i in range(3)] + \
        [names[(index + 5 * i + 1) % len(names)] for i in range(3)]


def run(build, is_long=False):
    """Runs all; prints "ok …" or "not ok …", and how many there were."""
    words = {}
    harsh = Peer(rules=harsh_rules(words))
    reserved = free_ports(["proxied"])["proxied"]
    world = World(build, policy=POLICY, harsh=harsh, zone=zone(),
                  mx='max_errors = 1000, soft_errors = 1000, vrfy = "on", expn = true, authentication = "offered", plaintext_login = "loopback", '
                     'xclient_networks = { "127.0.0.0/8" }, xforward_networks = { "127.0.0.0/8" }, etrn_networks = { "127.0.0.0/8" }, '
                     'max_login_failures = 1000',
                  submission="max_errors = 1000, soft_errors = 1000, max_login_failures = 1000", pop3="max_login_failures = 1000",
                  more=f'listen {{ "127.0.0.1:{reserved}", to = "mx", proxies = {{ "127.0.0.0/8" }} }}\n')
    world.words, world.proxied = words, reserved
    world.peers["lmtp"].rules["end"] = lmtp_rule(words)
    world.certificates = Certificates(world.temporary)
    cases, failures = [], []
    try:
        for index, (name, say) in enumerate(SINKS.items()):
            for payload in [None] + payloads_of(index, is_long):
                number = len(cases)
                cases.append((name, payload))
                try:
                    say(world, number, HARMLESS if payload is None else PAYLOADS[payload])
                except (Failure, OSError) as problem:
                    failures.append((name, payload, problem))
        world.wait_empty()
        stored, relayed = world.stored(), world.relayed()
        shapes = {}
        harmless = {}
        for number, (name, payload) in enumerate(cases):
            try:
                shapes[number] = shape_of(number, stored, relayed)
                if payload is None:
                    harmless[name] = shapes[number]
                    continue
                check(len(shapes[number]) <= len(harmless[name]), f"more became of it: {shapes[number]}")
                for names in shapes[number]:
                    if name in ("name of a field", "policy, add_name"):
                        # The payload is one, and no more than one.
                        known = {each for of in harmless[name] for each in of}
                        names = [each if each in known else "harmless" for each in names]
                    check(any(subsequence(names, of) for of in harmless[name]),
                          f"{names} are not the fields of {harmless[name]}")
            except Failure as problem:
                failures.append((name, payload, problem))
        for peer in world.peers.values():
            check(not peer.problems, f"a server wonders: {peer.problems[:3]}")
            for line in (line for lines in peer.dialogues for line in lines if line.startswith("> ")):
                check(COMMANDS.match(line), f"a server was told {line!r}")
        events = look_at_log(world)
        ugly = [b"case-%06d-" % number for number, (_, payload) in enumerate(cases) if payload in ("ESC", "C0", "NEL", "U+2028", "JSON")]
        shown = [text for text in stored if any(tag in text for tag in ugly)]
        look_at_history(world, shown if is_long else shown[::max(1, len(shown) // 30)])
    finally:
        world.close()
    for name in SINKS:
        bad = [(payload, problem) for sink_name, payload, problem in failures if sink_name == name]
        for payload, problem in bad:
            print(f"#   {name}, {payload}: {problem}"[:1500])
        if bad:
            print(f"not ok nothing is injected, {name}")
    became = sum(bool(shape) for shape in shapes.values())
    print(f"{'not ok' if failures else 'ok'} nothing is injected: {len(SINKS)} sinks, {len(payloads_of(0, is_long))} payloads each")
    print(f"# injection: {len(cases)} cases, of {became} something was stored or sent, {events} lines in the log", flush=True)
    return not failures
