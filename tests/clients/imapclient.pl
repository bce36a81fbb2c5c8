# SPDX-License-Identifier: Apache-2.0
# Perl's Mail::IMAPClient with a gateway. Arguments: port, name, password. The last line is "done"
# where all went well.
use strict;
use warnings;
use Mail::IMAPClient;

my ($port, $user, $password) = @ARGV;
my $there = Mail::IMAPClient->new(Server => '127.0.0.1', Port => $port, User => $user,
	Password => $password, Uid => 1, Timeout => 60) or die "no login: $@";

sub same {
	my ($what, $got, $wanted) = @_;
	$got = defined $got ? $got : '(undefined)';
	die "$what: '$got' instead of '$wanted'\n" unless $got eq $wanted;
}

sub good {
	my ($what, $result) = @_;
	die "$what: " . ($there->LastError // '') . "\n" unless $result;
	return $result;
}

good('capability', $there->has_capability('UIDPLUS') && $there->has_capability('IDLE'));
good('create', $there->create('box/inner'));
good('exists', $there->exists('box/inner'));
same('separator', $there->separator, '/');
my @uids;
for my $n (1 .. 10) {
	my $text = "From: a\@b.example\r\nSubject: number $n\r\nMessage-ID: <$n\@perl>\r\n\r\n" . ('line ' x $n) . "\r\n";
	my $uid = good('append', $there->append_string('INBOX', $text, $n % 2 ? '\\Seen' : ''));
	push @uids, $uid;
}
same('uids', "@uids", '1 2 3 4 5 6 7 8 9 10');
good('select', $there->select('INBOX'));
same('count', $there->message_count, 10);
same('unseen', $there->unseen_count, 5);
same('seen', join(' ', $there->seen), '1 3 5 7 9');
same('search', join(' ', $there->search('SUBJECT', 'number 1')), '1 10');
same('search header', join(' ', $there->search('HEADER', 'Message-ID', '<4@perl>')), '4');
same('string', $there->message_string(3), "From: a\@b.example\r\nSubject: number 3\r\nMessage-ID: <3\@perl>\r\n\r\nline line line \r\n");
same('body', $there->body_string(2), "line line \r\n");
same('subject', $there->subject(5), 'number 5');
same('size', $there->size(3), length $there->message_string(3));
good('store', $there->store('2,4', '+FLAGS.SILENT', '(\\Flagged Todo)'));
same('flags', join(' ', sort grep { $_ ne '\\Recent' } $there->flags(4)), 'Todo \\Flagged');
my $copied = good('copy', $there->copy('box/inner', '2,4'));
good('move', $there->move('box/inner', '6'));
good('expunge', $there->expunge);
same('count after move', $there->message_count, 9);
good('delete', $there->delete_message('1', '3'));
good('uid expunge', $there->uidexpunge('1'));
same('left', join(' ', $there->messages), '2 3 4 5 7 8 9 10');
good('close', $there->close);
good('examine', $there->examine('box/inner'));
same('copies', join(' ', $there->messages), '1 2 3');
same('copied flags', join(' ', sort grep { $_ ne '\\Recent' } $there->flags(1)), 'Todo \\Flagged \\Seen');
my $hash = good('fetch_hash', scalar $there->fetch_hash('RFC822.SIZE', 'ENVELOPE', 'INTERNALDATE'));
same('fetch_hash', scalar(keys %$hash), 3);
my $envelope = good('envelope', scalar $there->get_envelope(1));
same('envelope', $envelope->subject, 'number 2');
my $structure = good('structure', scalar $there->get_bodystructure(1));
same('structure', lc($structure->bodytype . '/' . $structure->bodysubtype), 'text/plain');
good('status', $there->status('INBOX', 'MESSAGES', 'UIDNEXT'));
my $tag = good('idle', $there->idle);
good('done', $there->done($tag));
good('rename', $there->rename('box', 'chest'));
good('renamed', $there->exists('chest/inner'));
good('subscribe', $there->subscribe('chest/inner'));
same('subscribed', join(' ', $there->subscribed), 'chest/inner');
good('logout', $there->logout);
print "done\n";
