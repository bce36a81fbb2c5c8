// SPDX-License-Identifier: Apache-2.0
// npm's smtp-server, told to misbehave by the recipient's name: sink.later@… is put off once, sink.never@…
// refused, sink.drop@… loses its connection in the middle of the message, sink.reset@… behind its answer,
// sink.stall@… waits too long for it, sink.busy@… hears 421, sink.storm@… three times; sink.tarpit@… waits a little for
// everything, sink.long@… gets a long answer, and sink.ends@… one with a bare LF that means nothing. Prints "ready"; at the end of its input, how
// often each recipient's message was taken, as JSON.
"use strict";
const { SMTPServer } = require("smtp-server");

const taken = {};
const once = {};

function isFirst(kind, times = 1) {
	once[kind] = (once[kind] || 0) + 1;
	return once[kind] <= times;
}

function refusal(code, text) {
	const error = new Error(text);
	error.responseCode = code;
	return error;
}

const server = new SMTPServer({
	authOptional: true,
	disabledCommands: ["AUTH", "STARTTLS"],
	logger: false,
	onRcptTo(address, session, callback) {
		session.kind = address.address.split(".")[1].split("@")[0];
		if (session.kind === "never") {
			return callback(refusal(550, "never here"));
		}
		if (session.kind === "later" && isFirst("later")) {
			return callback(refusal(450, "4.2.1 later"));
		}
		if (session.kind === "busy" && isFirst("busy")) {
			return callback(refusal(421, "4.3.2 busy"));
		}
		if (session.kind === "storm" && isFirst("storm", 3)) {
			return callback(refusal(421, "4.3.2 too busy"));
		}
		return session.kind === "tarpit" ? setTimeout(callback, 400) : callback();
	},
	onData(stream, session, callback) {
		const kind = session.kind;
		const names = session.envelope.rcptTo.map((one) => one.address);
		const socket = [...server.connections].find((one) => one.id === session.id)._socket;

		if (kind === "drop" && isFirst("drop")) {
			stream.once("data", () => socket.destroy());
			return;
		}
		stream.on("data", () => {});
		stream.on("end", () => {
			if (kind === "stall" && isFirst("stall")) {
				setTimeout(() => socket.destroy(), 2000);
				return;
			}
			if (kind === "ends" && isFirst("ends")) {
				socket.write("250 2.0.0 taken\n");
				setTimeout(() => socket.destroy(), 1000);
				return;
			}
			for (const name of names) {
				taken[name] = (taken[name] || 0) + 1;
			}
			if (kind === "tarpit") {
				setTimeout(() => callback(null, "taken"), 400);
				return;
			}
			callback(null, kind === "long" ? "taken ".repeat(600) : "taken");
			if (kind === "reset") {
				setImmediate(() => (socket.resetAndDestroy ? socket.resetAndDestroy() : socket.destroy()));
			}
		});
	},
});
server.on("error", () => {});
server.listen(Number(process.argv[2]), "127.0.0.1", () => process.stdout.write("ready\n"));
process.stdin.on("end", () => process.stdout.write(JSON.stringify(taken) + "\n", () => process.exit(0)));
process.stdin.resume();
