-- Every setting and every option with its default. This file is written by
-- `postern config reference`; copy from it, do not change it.

-- Name of the gateway in banners, greetings and trace fields; the machine's name where it is not given.
-- It is a text.
hostname = ""

-- Directory of everything the gateway keeps.
-- It is a path.
data_directory = "/var/lib/postern"

-- User that the workers run as when the gateway is started by root; empty to stay root, which is for tests.
-- It is a text.
user = "postern"

-- Group that the workers run as when the gateway is started by root; that of the user where it is not given.
-- It is a text.
group = ""

-- Directories that modules are loaded from; the installed one where none is given.
-- It is a list of texts.
module_directories = {}

-- Address for /health and /metrics, for example "127.0.0.1:2080"; empty for none.
-- It is a text.
control = ""

-- Socket of the commands status, reload and stop; control.sock in the data directory where it is not given.
-- It is a path.
-- control_socket = nil,

-- Number of edge workers; 0 for one on each processor.
-- It is a whole number from 0 to 64.
edge_workers = 0

-- Most sessions of one worker at a time.
-- It is a whole number from 1 to 1000000.
max_sessions = 10000

-- Most sessions of one client address at a time, over all workers.
-- It is a whole number from 1 to 1000000.
max_sessions_per_address = 100

-- A worker that gives no sign of life for so long is ended and replaced.
-- It is a duration like "30s" from 100ms to 10m.
watchdog = "20s"

-- Time that open sessions get to end when the gateway stops.
-- It is a duration like "30s" from 10ms to 1h.
stop_grace = "30s"

-- A reload that not all workers are ready for by then is given up.
-- It is a duration like "30s" from 100ms to 10m.
reload_deadline = "30s"

-- Longest time that a hook may take, waiting included, where it names no budget of its own.
-- It is a duration like "30s" from 1ms to 10m.
hook_wall_budget = "30s"

-- Processor time that one run of a policy's hook may take, where the policy names none.
-- It is a duration like "30s" from 1ms to 10s.
policy_cpu = "50ms"

-- Memory of one policy in one worker, where the policy names none.
-- It is a size like "50M" from 1M to 1G.
policy_memory = "16M"

-- A message larger than this is written to the store while it comes in.
-- It is a size like "50M" from 4k to 64M.
memory_per_message = "256k"

-- Largest header of a message.
-- It is a size like "50M" from 1k to 16M.
max_header_size = "256k"

-- Most fields in the header of a message.
-- It is a whole number from 10 to 100000.
max_header_fields = 1000

-- A message that went through more servers than this is refused as looping.
-- It is a whole number from 1 to 1000.
max_hops = 50

-- A store or a directory that does not answer by then counts as failed.
-- It is a duration like "30s" from 10ms to 10m.
store_deadline = "30s"

-- A login that cannot be checked by then is refused for now.
-- It is a duration like "30s" from 10ms to 10m.
auth_deadline = "30s"

-- A question to DNS without an answer by then counts as temporary trouble.
-- It is a duration like "30s" from 10ms to 10m.
dns_deadline = "10s"

-- IP addresses of resolvers; those of /etc/resolv.conf where none is given.
-- It is a list of texts.
resolvers = {}

-- DNS answers come from this file and from nowhere else; for tests.
-- It is a path.
-- zone_file = nil,

-- Least important events that are logged.
-- It is one of "debug", "info", "notice", "warning", "error".
log_level = "info"

-- File that the log is appended to; standard error where it is not given.
-- It is a path.
-- log_file = nil,

-- The history is kept for so long.
-- It is a duration like "30s" from 1h to 3650d.
history_age = "30d"

-- The history is kept up to this size; the oldest goes first.
-- It is a size like "50M" from 1M to 1024G.
history_size = "1G"

-- Lines printed to standard output after "postern: ready", when the gateway serves.
-- It is a text.
welcome = ""


-- Accounts, aliases and passwords from a text file.
module "auth_file" {
    -- The account file; it is read again whenever it changes.
    -- It is a path; it must be given.
    -- path = nil,

    -- What stands between name and tag in alice+tag@example.org; empty for no tags.
    -- It is a text.
    separator = "+",

    -- Where mail to postmaster goes in domains that have no postmaster of their own; empty for nowhere.
    -- It is a text.
    postmaster = "",

}

-- Lets clients read and delete the messages of INBOX by POP3.
module "pop3" {
    -- Where passwords are taken without TLS.
    -- It is one of "never", "loopback", "always".
    plaintext_login = "never",

    -- Text behind the name of the gateway in the banner.
    -- It is a text.
    greeting = "POP3 Postern",

    -- Put the number of the worker into the banner, for tests.
    -- It is true or false.
    banner_worker = false,

    -- Most messages that a session shows, the oldest first; 40 bytes of memory each.
    -- It is a whole number from 1 to 10000000.
    max_messages = 100000,

    -- Mistakes that a session is given; one more is the end.
    -- It is a whole number from 0 to 100000.
    max_errors = 50,

    -- Failed logins that a session is given; one more is the end.
    -- It is a whole number from 0 to 1000.
    max_login_failures = 3,

    -- Most commands in one session; one more is the end.
    -- It is a whole number from 1 to 100000000.
    max_commands = 1000000,

    -- Longest command line in bytes with its CRLF: 255 by RFC 2449, and room for long passwords; AUTH may have 12,288.
    -- It is a whole number from 255 to 12288.
    max_command_length = 1024,

    -- Longest wait for a command; RFC 1939 asks for at least ten minutes.
    -- It is a duration like "30s" from 100ms to 24h.
    command_timeout = "10m",

}

-- Receives mail by SMTP, as a submission server or by LMTP.
module "smtp" {
    -- What the instance is: mx takes mail for the domains of this gateway, submission takes mail from its users, lmtp answers for each recipient.
    -- It is one of "mx", "submission", "lmtp".
    profile = "mx",

    -- Whether clients may or must log in before MAIL.
    -- It is one of "none", "offered", "required".
    authentication = "none",

    -- Where passwords are taken without TLS.
    -- It is one of "never", "loopback", "always".
    plaintext_login = "never",

    -- Text behind the name of the gateway in the banner; empty for "ESMTP Postern" or "LMTP Postern".
    -- It is a text.
    greeting = "",

    -- Put the number of the worker into the banner, for tests.
    -- It is true or false.
    banner_worker = false,

    -- Largest message that is taken; said in EHLO.
    -- It is a size like "50M" from 1k to 2G.
    max_message_size = "50M",

    -- Most recipients of one message; one more is answered 452. RFC 5321 asks for at least 100.
    -- It is a whole number from 1 to 50000.
    max_recipients = 1000,

    -- Replies of class 5 that a session is given; one more is a 421 and the end. A message that is accepted clears the count.
    -- It is a whole number from 0 to 100000.
    max_errors = 20,

    -- Failed logins that a session is given; one more is a 421 and the end.
    -- It is a whole number from 0 to 1000.
    max_login_failures = 3,

    -- Most commands in one session; one more is a 421 and the end.
    -- It is a whole number from 1 to 100000000.
    max_commands = 100000,

    -- Most messages in one session; one more is a 421 and the end.
    -- It is a whole number from 1 to 100000000.
    max_transactions = 10000,

    -- Longest command line in bytes with its CRLF: 512 by RFC 5321, and room for the parameters that are offered; AUTH may have 12,288. Space behind the colon of MAIL FROM: and RCPT TO: is passed over.
    -- It is a whole number from 512 to 12288.
    max_command_length = 1055,

    -- Longest wait for a whole command.
    -- It is a duration like "30s" from 100ms to 1h.
    command_timeout = "5m",

    -- Longest wait for the next bytes of a message.
    -- It is a duration like "30s" from 100ms to 1h.
    data_timeout = "5m",

    -- Longest time from DATA to the end of the message.
    -- It is a duration like "30s" from 100ms to 24h.
    message_timeout = "1h",

}

-- Keeps mail in checksummed segments with an LMDB index, on this machine.
module "store_local" {
    -- Directory of the store; the instance's name in data_directory where none is given.
    -- It is a path.
    -- path = nil,

    -- A segment that has grown so large is followed by another.
    -- It is a size like "50M" from 64k to 64G.
    segment_size = "1G",

    -- Largest size of the index; address space, not memory or disk.
    -- It is a size like "50M" from 16M to 65536G.
    map_size = "1024G",

    -- For so long sessions that were not told can read expunged messages.
    -- It is a duration like "30s" from 0s to 365d.
    expunge_retention = "1d",

    -- For so long after that the change log knows that they were expunged.
    -- It is a duration like "30s" from 0s to 3650d.
    change_retention = "30d",

    -- For so long a repeated delivery is recognised.
    -- It is a duration like "30s" from 1s to 3650d.
    once_retention = "14d",

    -- Bytes that an account without a quota of its own may hold.
    -- It is a size like "50M" from 1 to 65536G.
    quota = "1024G",

    -- New messages are refused while less space than this is free.
    -- It is a size like "50M" from 1 to 65536G.
    reserve = "64M",

    -- A copy of the index is made so often; the last three are kept.
    -- It is a duration like "30s" from 1s to 365d.
    checkpoint_interval = "1h",

}

-- Keeps mail in the memory of one worker, for tests.
module "store_memory" {
    -- Bytes that an account without a quota of its own may hold.
    -- It is a size like "50M" from 1 to 65536G.
    quota = "1024G",

}
