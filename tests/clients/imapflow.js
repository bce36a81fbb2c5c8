// SPDX-License-Identifier: Apache-2.0
// ImapFlow with a gateway: what it appends, flags, moves, searches and deletes must be so, and a
// second connection that idles must hear of it. Arguments: port, name, password. The last line is
// "done" where all went well.
'use strict';
const { ImapFlow } = require('imapflow');
const assert = require('assert');
const [port, user, pass] = process.argv.slice(2);

function connection(more) {
	return new ImapFlow({ host: '127.0.0.1', port: Number(port), secure: false, logger: false,
		tls: { rejectUnauthorized: false }, auth: { user, pass }, ...more });
}

function event(emitter, name) {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error(`no event ${name}`)), 20000);
		emitter.once(name, data => { clearTimeout(timer); resolve(data); });
	});
}

async function main() {
	const client = connection({ qresync: true });
	const listener = connection();
	await client.connect();
	await listener.connect();
	assert.ok(client.capabilities.has('QRESYNC') && client.enabled.has('CONDSTORE'));

	const made = await client.mailboxCreate('one/two');
	assert.equal(made.path, 'one/two');
	await client.mailboxCreate('trash');
	const folders = await client.list({ statusQuery: { messages: true, uidNext: true } });
	assert.ok(folders.some(folder => folder.path === 'one/two'));
	assert.equal(folders.find(folder => folder.path === 'INBOX').status.messages, 0);

	await listener.mailboxOpen('INBOX');
	const lock = await client.getMailboxLock('INBOX');
	const heard = event(listener, 'exists');
	listener.idle();
	const first = await client.append('INBOX', 'Subject: first\r\nMessage-ID: <1@flow>\r\n\r\none\r\n',
		['\\Seen', '$Label'], new Date('2020-02-02T02:02:02Z'));
	assert.equal(first.uid, 1);
	assert.equal((await heard).count, 1);
	for (let n = 2; n <= 20; n++)
		await client.append('INBOX', `Subject: number ${n}\r\nMessage-ID: <${n}@flow>\r\n\r\n${'x'.repeat(n * 100)}\r\n`);
	await client.noop();
	assert.equal(client.mailbox.exists, 20);

	let count = 0;
	for await (const message of client.fetch('1:*', { uid: true, flags: true, envelope: true, size: true,
		internalDate: true, bodyStructure: true, source: true })) {
		count++;
		assert.equal(message.envelope.messageId, `<${message.uid}@flow>`);
		assert.equal(message.size, message.source.length);
		assert.ok(message.modseq > 0n);
		assert.equal(message.bodyStructure.type, 'text/plain');
		if (message.uid === 1) {
			assert.ok(message.flags.has('\\Seen') && message.flags.has('$Label'));
			assert.equal(message.internalDate.toISOString(), '2020-02-02T02:02:02.000Z');
			assert.equal(message.source.toString(), 'Subject: first\r\nMessage-ID: <1@flow>\r\n\r\none\r\n');
		}
	}
	assert.equal(count, 20);

	assert.deepEqual(await client.search({ seen: true }, { uid: true }), [1]);
	assert.deepEqual(await client.search({ header: { 'Message-ID': '<7@flow>' } }, { uid: true }), [7]);
	assert.deepEqual(await client.search({ larger: 1900 }), [19, 20]);
	assert.deepEqual(await client.search({ subject: 'number 1', uid: '5:12' }, { uid: true }), [10, 11, 12]);

	const flags = event(listener, 'flags');
	assert.ok(await client.messageFlagsAdd('3', ['\\Flagged', 'keyword']));
	assert.equal((await flags).seq, 3);
	assert.ok(await client.messageFlagsRemove({ uid: '1' }, ['\\Seen'], { uid: true }));
	const modseq = client.mailbox.highestModseq;
	assert.ok(await client.messageFlagsSet('4', ['\\Answered'], { useLabels: false }));
	const changed = [];
	for await (const message of client.fetch('1:*', { uid: true, flags: true }, { changedSince: modseq }))
		changed.push(message.uid);
	assert.ok(changed.includes(4) && !changed.includes(10));

	const copied = await client.messageCopy('2:3', 'one/two');
	assert.deepEqual([...copied.uidMap.entries()], [[2, 1], [3, 2]]);
	const moved = await client.messageMove('5,7', 'one/two', { uid: true });
	assert.deepEqual([...moved.uidMap.entries()], [[5, 3], [7, 4]]);
	assert.equal((await client.search({ all: true })).length, 18);
	const gone = event(listener, 'expunge');
	assert.ok(await client.messageDelete('10', { uid: true }));
	await gone;
	assert.equal((await client.search({ all: true })).length, 17);
	const part = await client.download('20', '1', { uid: true });
	let text = '';
	for await (const piece of part.content)
		text += piece.toString();
	assert.equal(text.trim(), 'x'.repeat(2000));
	lock.release();

	const status = await client.status('one/two', { messages: true, unseen: true, uidNext: true, highestModseq: true });
	assert.equal(status.messages, 4);
	assert.equal(status.uidNext, 5);
	await client.mailboxRename('one/two', 'one/three');
	await client.mailboxSubscribe('one/three');
	await client.mailboxDelete('trash');
	const names = (await client.list()).map(folder => folder.path);
	assert.ok(names.includes('one/three') && !names.includes('one/two') && !names.includes('trash'));
	await listener.logout();
	await client.logout();
	console.log('done');
}

main().catch(error => { console.error(error); process.exit(1); });
