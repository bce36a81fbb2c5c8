# SPDX-License-Identifier: Apache-2.0
"""Connections that come through load balancers: the PROXY protocol, before everything else."""

import socket
import ssl
import struct
import subprocess

from support import check, edit, log_text, wait_for

WHO = """on("client.hello", function(session)
	return reject(550, "5.7.1", "you are " .. session.peer .. " port " .. session.port)
end)
"""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HELLO = b"EHLO c.example\r\n"


def version2(command, family, addresses, more=b""):
    """A header of version 2."""
    body = addresses + more
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


def ipv4(source, port):
    return socket.inet_aton(source) + socket.inet_aton("192.0.2.25") + struct.pack("!HH", port, 25)


def ipv6(source, port):
    return (socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "2001:db8::25")
            + struct.pack("!HH", port, 25))


class ProxyTests:
    """Mixed into Tests."""

    def _behind_a_balancer(self, settings="", tls=False):
        gateway = self.gateway(start=False, tls=tls, files={"who.lua": WHO}, more='policy "who.lua"\n',
                               settings=settings)
        for listener in ("mx", "submissions") if tls else ("mx",):
            port = gateway.ports[listener]
            edit(gateway, f'"127.0.0.1:{port}", to', f'"127.0.0.1:{port}", proxies = {{ "127.0.0.1", "2001:db8::/32" }}, to')
        gateway.start()
        return gateway

    @staticmethod
    def _told(gateway, *pieces, source=("127.0.0.1", 0), port="mx", wrap=None):
        """What the gateway says to a connection that sends these pieces."""
        with socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=20, source_address=source) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                line.sendall(piece)
            if wrap:
                line = wrap(line)
                line.sendall(HELLO)
            line.settimeout(20)
            said = b""
            try:
                while b"\r\n550 " not in said or not said.endswith(b"\n"):
                    data = line.recv(4096)
                    if not data:
                        break
                    said += data
            except ConnectionResetError:
                pass
            return said.decode()

    def a_balancer_says_who_its_client_is(self):
        gateway = self._behind_a_balancer()
        for header, who in ((b"PROXY TCP4 192.0.2.7 192.0.2.25 4711 25\r\n", "192.0.2.7 port 4711"),
                            (b"PROXY TCP6 2001:db8::7 2001:db8::25 65535 25\r\n", "2001:db8::7 port 65535"),
                            (b"PROXY UNKNOWN\r\n", "127.0.0.1 port"),
                            (b"PROXY UNKNOWN " + 91 * b"x" + b"\r\n", "127.0.0.1 port"),
                            (version2(1, 0x11, ipv4("192.0.2.8", 99)), "192.0.2.8 port 99"),
                            (version2(1, 0x21, ipv6("2001:db8::8", 1), b"\x04\0\x03abc"), "2001:db8::8 port 1"),
                            (version2(1, 0x11, ipv4("192.0.2.9", 7), bytes(4084)), "192.0.2.9 port 7"),
                            (version2(0, 0, b""), "127.0.0.1 port"),
                            (version2(1, 0x31, bytes(216)), "127.0.0.1 port")):
            for pieces in ((header, HELLO), (header + HELLO,), [bytes([byte]) for byte in header] + [HELLO]):
                said = self._told(gateway, *pieces)
                check(said.startswith("220 ") and f"you are {who}" in said, f"{header[:60]}: {said}")

    def what_is_no_header_is_closed_without_a_word(self):
        gateway = self._behind_a_balancer()
        for text in (HELLO, b"PROXY TCP4 192.0.2.7 192.0.2.25 4711\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.25 70000 25\r\n",
                     b"PROXY TCP4 2001:db8::7 2001:db8::25 1 25\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.25 4711 25\n",
                     b"PROXY UNKNOWN " + 92 * b"x" + b"\r\n", b"PROXY TCP4 192.0.2.7\0 192.0.2.25 4711 25\r\n",
                     b"proxy TCP4 192.0.2.7 192.0.2.25 4711 25\r\n", SIGNATURE + b"\x11\x11\0\x0c" + ipv4("192.0.2.8", 9),
                     version2(2, 0x11, ipv4("192.0.2.8", 9)), version2(1, 0x11, ipv4("192.0.2.8", 9)[:-1]),
                     version2(1, 0x11, ipv4("192.0.2.9", 7), bytes(4085))):
            check(self._told(gateway, text + HELLO) == "", f"{text[:60]} was answered")
        wait_for(lambda: "header of the PROXY protocol" in log_text(gateway), "why, in the log")

    def who_sends_no_header_is_not_waited_for_long(self):
        gateway = self._behind_a_balancer('proxy_header_deadline = "100ms"\n')
        check(self._told(gateway) == "" and self._told(gateway, b"PROXY TC") == "", "it was greeted")
        wait_for(lambda: "did not come in time" in log_text(gateway), "why, in the log")

    def strangers_speak_for_themselves(self):
        gateway = self._behind_a_balancer()
        said = self._told(gateway, b"PROXY TCP4 192.0.2.7 192.0.2.25 4711 25\r\n", HELLO, source=("127.0.0.2", 0))
        check("500 5.5.1" in said and "you are 127.0.0.2 port" in said, said)

    def the_header_comes_before_tls(self):
        gateway = self._behind_a_balancer(tls=True)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        said = self._told(gateway, b"PROXY TCP4 192.0.2.7 192.0.2.25 4711 25\r\n", port="submissions",
                          wrap=context.wrap_socket)
        check("you are 192.0.2.7 port 4711" in said, said)

    def clients_that_know_the_protocol_are_understood(self):
        gateway = self._behind_a_balancer()
        server = f"127.0.0.1:{gateway.ports['mx']}"
        done = subprocess.run(["curl", "-sv", "--haproxy-protocol", f"smtp://{server}"], capture_output=True, text=True,
                              timeout=30, check=False)
        check("you are 127.0.0.1 port" in done.stderr, done.stderr)
        for version in ("1", "2"):
            done = subprocess.run(["swaks", "--server", server, "--to", "a@b.test", "--proxy-version", version,
                                   "--proxy-family", "TCP4" if version == "1" else "AF_INET", "--proxy-source", "192.0.2.77",
                                   "--proxy-source-port", "77", "--proxy-dest", "192.0.2.25", "--proxy-dest-port", "25",
                                   *(["--proxy-command", "PROXY", "--proxy-protocol", "STREAM"] if version == "2" else [])],
                                  capture_output=True, text=True, timeout=30, check=False)
            check("you are 192.0.2.77 port 77" in done.stdout, f"version {version}: {done.stdout}{done.stderr}")

    def workers_stop_while_headers_are_awaited(self):
        gateway = self._behind_a_balancer()
        with socket.create_connection(("127.0.0.1", gateway.ports["mx"]), timeout=20) as line:
            line.sendall(b"PROXY ")
            gateway.stop()
            check(line.recv(10) == b"", "it was not closed")
