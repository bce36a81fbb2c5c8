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

-- Whether workers are kept from files that no option names, from other programs and from system calls that mail does not need: auto as far as the kernel can, required or not at all, off never.
-- It is one of "auto", "required", "off".
confinement = "auto"

-- Number of edge workers; 0 for one on each processor.
-- It is a whole number from 0 to 64.
edge_workers = 0

-- Number of queue workers; destinations are dealt out among them.
-- It is a whole number from 1 to 16.
queue_workers = 1

-- Most sessions of one worker at a time.
-- It is a whole number from 1 to 1000000.
max_sessions = 10000

-- Longest wait for the PROXY header of a connection that must begin with one.
-- It is a duration like "30s" from 10ms to 5m.
proxy_header_deadline = "5s"

-- Longest time that a TLS handshake may take.
-- It is a duration like "30s" from 10ms to 10m.
tls_handshake_deadline = "30s"

-- TLS handshakes that are under way in one worker at a time; others wait for their turn, and those that take longer than two seconds make room for them.
-- It is a whole number from 1 to 100000.
max_tls_handshakes = 500

-- Bytes a second that a client must take of what it asked for, on average over output_rate_window; one that takes fewer is left.
-- It is a size like "50M" from 1 to 10M.
min_output_rate = "100"

-- How long bytes are counted before their rate is judged.
-- It is a duration like "30s" from 100ms to 1h.
output_rate_window = "1m"

-- A client may resume its TLS session for so long, with any worker; the keys for it are made anew as often.
-- It is a duration like "30s" from 1s to 7d.
tls_session_lifetime = "2h"

-- Most sessions of one client address at a time, over all workers; of IPv6 the first 64 bits count. One more is told so (421) and closed.
-- It is a whole number from 1 to 1000000.
max_sessions_per_address = 100

-- Most sessions that are logged in to one account at a time, over all workers and protocols.
-- It is a whole number from 1 to 1000000.
max_sessions_per_account = 100

-- Most sessions that are logged in to accounts of one domain at a time, over all workers and protocols.
-- It is a whole number from 1 to 1000000.
max_sessions_per_tenant = 10000

-- Most new sessions of one client address in a minute, over all workers: half of them at once, the other half spread over the minute.
-- It is a whole number from 2 to 10000000.
max_new_sessions_per_address = 1000

-- Most command lines of one client address in a minute, over all its sessions, likewise; those that come too fast wait.
-- It is a whole number from 2 to 100000000.
max_commands_per_address = 60000

-- Networks ("192.0.2.0/24", or "unix") whose clients are not counted by the minute, for example relays of one's own.
-- It is a list of texts.
networks_without_rates = { "127.0.0.0/8", "::1", "unix" }

-- A worker whose every turn takes longer than this has too much to do: new connections are turned away (421) until its turns take half of it.
-- It is a duration like "30s" from 1ms to 10s.
overload_turn = "100ms"

-- So does one that uses more memory than this, files that it has mapped not counted.
-- It is a size like "50M" from 1M to 1024G.
overload_memory = "4G"

-- While a worker has too much to do, or 70 % of its sessions are open, clients that have not logged in get no more time than this for a command.
-- It is a duration like "30s" from 100ms to 1h.
hurried_deadline = "30s"

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

-- Levels of multipart and message/rfc822 that are looked into; what is deeper is one part without a type that is known.
-- It is a whole number from 1 to 50.
max_mime_depth = 50

-- Parts of a message that are told apart; the rest belongs to the last of them.
-- It is a whole number from 10 to 1000.
max_mime_parts = 1000

-- A message that went through more servers than this is refused as looping.
-- It is a whole number from 1 to 1000.
max_hops = 50

-- Messages whose Received fields name this gateway more often are refused: they go in circles.
-- It is a whole number from 1 to 1000.
max_own_hops = 10

-- A store or a directory that does not answer by then counts as failed.
-- It is a duration like "30s" from 10ms to 10m.
store_deadline = "30s"

-- A login that cannot be checked by then is refused for now.
-- It is a duration like "30s" from 10ms to 10m.
auth_deadline = "30s"

-- Most failed logins to one account from one address in a minute, over all workers and protocols; who comes again is told to wait, right or wrong.
-- It is a whole number from 2 to 1000000.
max_failed_logins = 6

-- Most failed logins to one account in a minute, from all addresses that it has not logged in from in thirty days.
-- It is a whole number from 2 to 1000000.
max_failed_logins_of_account = 10

-- Most failed logins from one address in a minute, whatever the account; of IPv6 the first 64 bits count.
-- It is a whole number from 2 to 1000000.
max_failed_logins_of_address = 30

-- Count failed logins from this machine too; what runs there for others, as webmail does, counts its own.
-- It is true or false.
counts_failed_logins_of_loopback = false

-- A question to DNS without an answer by then counts as temporary trouble.
-- It is a duration like "30s" from 10ms to 10m.
dns_deadline = "10s"

-- IP addresses of resolvers, with a port where it is not 53; those of /etc/resolv.conf where none is given.
-- It is a list of texts.
resolvers = {}

-- Whether signatures of DNS answers are validated: auto goes on without, and says so, where the resolvers of this network do not pass them on.
-- It is one of "auto", "off", "required".
dnssec = "auto"

-- File with the keys of the DNS root; nothing is validated where it is not there.
-- It is a text.
trust_anchor = "/usr/share/dns/root.key"

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

-- Instance of the store that keeps the queue; that of the first domain, else the first store, where it is not given.
-- It is a text.
queue_store = ""

-- Host that all mail for other domains is handed to, for example "relay.example.net:587"; empty for the MX hosts of each domain.
-- It is a text.
relay = ""

-- Mail that could not be delivered for so long is returned to its sender.
-- It is a duration like "30s" from 1s to 365d.
queue_lifetime = "5d"

-- A bounce that could not be delivered for so long is given up.
-- It is a duration like "30s" from 1s to 365d.
bounce_lifetime = "2d"

-- Senders who authenticated, or asked for it, are told of mail that waits for so long; at least queue_lifetime for never.
-- It is a duration like "30s" from 1s to 365d.
delay_warning = "4h"

-- Longest time that handing over one message may take, whatever the transport allows for its parts.
-- It is a duration like "30s" from 100ms to 1d.
delivery_deadline = "30m"

-- A connection to another server is kept for so long after its last message.
-- It is a duration like "30s" from 1ms to 5m.
idle_connections = "5s"

-- Most connections to other servers of one queue worker at a time.
-- It is a whole number from 1 to 100000.
queue_connections = 1000

-- Most recipients that one queue worker holds in memory; the others wait in the store.
-- It is a whole number from 10 to 10000000.
queue_memory = 50000

-- Most recipients that are handed over with one copy of a message.
-- It is a whole number from 1 to 1000.
recipients_per_delivery = 100

-- A destination that could not be reached so often in a row is left alone for a while.
-- It is a whole number from 1 to 1000.
suspend_after = 3

-- Waits after the first, second, … failure, the last one again and again; 1m, 5m, 15m, 30m, 1h, 2h, 4h where none is given.
-- It is a list of texts.
retry_schedule = {}

-- Most connections to one destination (the servers of its MX) at a time, of all queue workers together.
-- It is a whole number from 1 to 10000.
destination_connections = 20

-- Most messages over one connection to a destination.
-- It is a whole number from 1 to 1000000.
destination_messages_per_connection = 100

-- Most messages to one destination in a minute, of all queue workers together.
-- It is a whole number from 1 to 1000000000.
destination_messages_per_minute = 1000000


-- ARC: what servers that mail has passed found out about it, sealed.
module "arc" {
    -- Clients whose mail is not checked: servers of ours that pass mail on, our own programs. Nor is that of those who authenticated.
    -- It is a list of texts.
    exempt_networks = { "127.0.0.0/8", "::1", "unix" },

    -- For its DNS questions; what is not answered by then is a temperror.
    -- It is a duration like "30s" from 100ms to 25s.
    deadline_ms = "15s",

}

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

-- Logins with tokens of an OAuth 2 server.
module "auth_oauth" {
    -- Who gives the tokens out: the claim iss must be just this.
    -- It is a text.
    issuer = "",

    -- Names of this service: the claim aud must have one of them.
    -- It is a list of texts.
    audience = {},

    -- Scopes that a token must have, all of them.
    -- It is a list of texts.
    scope = {},

    -- Claim that names the account; an email whose email_verified is false names nobody.
    -- It is a text.
    account_claim = "email",

    -- File with the public keys that sign tokens, in PEM form or as a set in JSON; read at the start and at a reload.
    -- It is a path.
    -- keys = nil,

    -- Where the server has its set of keys (jwks_uri); in place of keys.
    -- It is a text.
    keys_url = "",

    -- Keys from a server are asked for again after so long.
    -- It is a duration like "30s" from 1s to 30d.
    keys_lifetime = "1h",

    -- Where the server is asked about tokens (RFC 7662) that no key can judge.
    -- It is a text.
    introspection_url = "",

    -- Our name at the introspection_url.
    -- It is a text.
    client_id = "",

    -- Our password there.
    -- It is a text.
    client_secret = "",

    -- What a server said of a token is believed for so long, and never longer than the token is good.
    -- It is a duration like "30s" from 1ms to 1d.
    cache_lifetime = "1m",

    -- Most tokens that an answer is kept of, in each worker.
    -- It is a whole number from 1 to 1000000.
    cache_entries = 10000,

    -- A server that has not answered by then is trouble: the login fails for now.
    -- It is a duration like "30s" from 10ms to 1m.
    request_timeout = "10s",

    -- How far the clock of the server may be from ours.
    -- It is a duration like "30s" from 0ms to 1h.
    clock_skew = "1m",

    -- Told to clients whose token is no good: the document that says where they get one (openid-configuration).
    -- It is a text.
    discovery_url = "",

}

-- Authentication-Results: what checks found, for those who read the mail.
module "authentication_results" {
    -- The name under which we write (RFC 8601's authserv-id), and which nobody else may use; the host's name where it is empty. Several gateways may share one.
    -- It is a text.
    name = "",

    -- Clients whose fields of our name are kept: servers of ours, where several share the name; filters that hand mail back.
    -- It is a list of texts.
    exempt_networks = { "127.0.0.0/8", "::1", "unix" },

}

-- Counters and small values with a lifetime, shared by all workers.
module "cache_local" {
    -- The most that its entries take; then those that would go first go at once.
    -- It is a size like "50M" from 1M to 64G.
    size = "64M",

}

-- Hands mail on by LMTP.
module "deliver_lmtp" {
    -- How far TLS must go where the route does not say it; automatic: never on Unix sockets and loopback addresses, elsewhere where it is offered.
    -- It is one of "never", "opportunistic", "required", "verified", "automatic".
    tls = "automatic",

    -- TLS before the first byte (port 465), in place of STARTTLS.
    -- It is true or false.
    implicit_tls = false,

    -- File of certificates, in PEM form, that verified servers must lead to; empty: those of the system.
    -- It is a path.
    -- trusted_certificates = nil,

    -- Name given in the hello; empty: the gateway's hostname.
    -- It is a text.
    hello = "",

    -- Addresses to connect from, in turn; routes come before them. Empty: the machine's choice.
    -- It is a list of texts.
    source_addresses = {},

    -- Most recipients of one transaction.
    -- It is a whole number from 1 to 1000.
    max_recipients = 100,

    -- What becomes of 8-bit messages for servers without 8BITMIME: sent as they are, or refused.
    -- It is one of "send", "refuse".
    eight_bit = "send",

    -- When BDAT is used with servers that offer CHUNKING: for binary messages, or for all.
    -- It is one of "needed", "offered".
    chunking = "needed",

    -- File with lines HOST USER PASSWORD to log in with; read at start and at each reload. Empty: nobody logs in.
    -- It is a path.
    -- credentials = nil,

    -- Whether passwords may be sent without TLS.
    -- It is one of "no", "loopback", "yes".
    plaintext_login = "no",

    -- Longest wait for a connection.
    -- It is a duration like "30s" from 50ms to 1h.
    connect_timeout = "30s",

    -- Longest wait for the greeting.
    -- It is a duration like "30s" from 50ms to 1h.
    greeting_timeout = "5m",

    -- Longest wait for the answer to the hello, STARTTLS or AUTH.
    -- It is a duration like "30s" from 50ms to 1h.
    hello_timeout = "5m",

    -- Longest wait for the answer to MAIL.
    -- It is a duration like "30s" from 50ms to 1h.
    mail_timeout = "5m",

    -- Longest wait for the answer to RCPT.
    -- It is a duration like "30s" from 50ms to 1h.
    rcpt_timeout = "5m",

    -- Longest wait for the answer to DATA.
    -- It is a duration like "30s" from 50ms to 1h.
    data_start_timeout = "2m",

    -- Longest wait until the server takes more of the message.
    -- It is a duration like "30s" from 50ms to 1h.
    data_block_timeout = "3m",

    -- Longest wait for the answer to the end of the message.
    -- It is a duration like "30s" from 50ms to 1h.
    data_end_timeout = "10m",

    -- Longest wait for the answer to QUIT.
    -- It is a duration like "30s" from 50ms to 1h.
    quit_timeout = "10s",

}

-- Sends mail by SMTP.
module "deliver_smtp" {
    -- Port of hosts that MX records name.
    -- It is a whole number from 1 to 65535.
    port = 25,

    -- How far TLS must go where the route does not say it.
    -- It is one of "never", "opportunistic", "required", "verified".
    tls = "opportunistic",

    -- Mail that requires TLS (RFC 8689) goes to hosts that MX records name only where DNSSEC vouches for the records.
    -- It is true or false.
    requiretls_dnssec = true,

    -- TLS before the first byte (port 465), in place of STARTTLS.
    -- It is true or false.
    implicit_tls = false,

    -- File of certificates, in PEM form, that verified servers must lead to; empty: those of the system.
    -- It is a path.
    -- trusted_certificates = nil,

    -- Name given in the hello; empty: the gateway's hostname.
    -- It is a text.
    hello = "",

    -- Addresses to connect from, in turn; routes come before them. Empty: the machine's choice.
    -- It is a list of texts.
    source_addresses = {},

    -- Most recipients of one transaction.
    -- It is a whole number from 1 to 1000.
    max_recipients = 100,

    -- What becomes of 8-bit messages for servers without 8BITMIME: sent as they are, or refused.
    -- It is one of "send", "refuse".
    eight_bit = "send",

    -- When BDAT is used with servers that offer CHUNKING: for binary messages, or for all.
    -- It is one of "needed", "offered".
    chunking = "needed",

    -- File with lines HOST USER PASSWORD to log in with; read at start and at each reload. Empty: nobody logs in.
    -- It is a path.
    -- credentials = nil,

    -- Whether passwords may be sent without TLS.
    -- It is one of "no", "loopback", "yes".
    plaintext_login = "no",

    -- Longest wait for a connection.
    -- It is a duration like "30s" from 50ms to 1h.
    connect_timeout = "30s",

    -- Longest wait for the greeting.
    -- It is a duration like "30s" from 50ms to 1h.
    greeting_timeout = "5m",

    -- Longest wait for the answer to the hello, STARTTLS or AUTH.
    -- It is a duration like "30s" from 50ms to 1h.
    hello_timeout = "5m",

    -- Longest wait for the answer to MAIL.
    -- It is a duration like "30s" from 50ms to 1h.
    mail_timeout = "5m",

    -- Longest wait for the answer to RCPT.
    -- It is a duration like "30s" from 50ms to 1h.
    rcpt_timeout = "5m",

    -- Longest wait for the answer to DATA.
    -- It is a duration like "30s" from 50ms to 1h.
    data_start_timeout = "2m",

    -- Longest wait until the server takes more of the message.
    -- It is a duration like "30s" from 50ms to 1h.
    data_block_timeout = "3m",

    -- Longest wait for the answer to the end of the message.
    -- It is a duration like "30s" from 50ms to 1h.
    data_end_timeout = "10m",

    -- Longest wait for the answer to QUIT.
    -- It is a duration like "30s" from 50ms to 1h.
    quit_timeout = "10s",

}

-- DKIM: whether a domain stands for a message, by its signatures.
module "dkim" {
    -- Clients whose mail is not checked: servers of ours that pass mail on, our own programs. Nor is that of those who authenticated.
    -- It is a list of texts.
    exempt_networks = { "127.0.0.0/8", "::1", "unix" },

    -- For its DNS questions; what is not answered by then is a temperror.
    -- It is a duration like "30s" from 100ms to 25s.
    deadline_ms = "15s",

    -- Signatures of a message that are looked at, from the top; of the others the result is policy.
    -- It is a whole number from 1 to 50.
    max_signatures = 10,

}

-- DKIM signatures on mail that our users send, and by scripts.
module "dkim_sign" {
    -- The table of keys: "DOMAIN SELECTOR FILE" a line, with files named from its folder; old or new behind it: in DNS, but not used.
    -- It is a path; it must be given.
    -- keys = nil,

    -- What may change on the way (RFC 6376 section 3.4), in the header and in the body.
    -- It is one of "relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple".
    canonicalization = "relaxed/relaxed",

    -- Mail of those who authenticated, and of clients in networks, is signed with the active keys of the domain in From, or of the nearest above it that has some. What else is signed is what scripts ask for.
    -- It is true or false.
    signs_own = true,

    -- Clients whose mail is ours, whoever they are.
    -- It is a list of texts.
    networks = { "127.0.0.0/8", "::1", "unix" },

}

-- DMARC: what the domain in From wants done with mail that it does not stand for.
module "dmarc" {
    -- Clients whose mail is not checked: servers of ours that pass mail on, our own programs. Nor is that of those who authenticated.
    -- It is a list of texts.
    exempt_networks = { "127.0.0.0/8", "::1", "unix" },

    -- For its DNS questions; what is not answered by then is a temperror.
    -- It is a duration like "30s" from 100ms to 25s.
    deadline_ms = "10s",

}

-- Lets clients work with the mail of their accounts by IMAP.
module "imap" {
    -- Where passwords and tokens are taken without TLS. Mechanisms that give no secret away (SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5) need none, and are offered everywhere.
    -- It is one of "never", "loopback", "always".
    plaintext_login = "never",

    -- Mechanisms that are offered, where the authentication modules can serve them. SCRAM-SHA-1, SCRAM-SHA-1-PLUS and CRAM-MD5 are old, and offered only if they are named; so is EXTERNAL, which takes a certificate that the listener's client_authorities vouch for. Without PLAIN and LOGIN no command takes a password.
    -- It is a list of texts.
    mechanisms = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN" },

    -- LITERAL+, or LITERAL-, which ends at 4096 bytes (RFC 7888).
    -- It is one of "plus", "minus".
    literals = "plus",

    -- Text behind the name of the gateway in the greeting.
    -- It is a text.
    greeting = "IMAP Postern",

    -- Put the number of the worker into the greeting, for tests.
    -- It is true or false.
    banner_worker = false,

    -- Capabilities that are not announced and cannot be enabled.
    -- It is a list of texts.
    hidden_capabilities = {},

    -- Largest message that APPEND takes; announced as APPENDLIMIT.
    -- It is a size like "50M" from 1k to 4000M.
    max_message_size = "500M",

    -- Longest command with its literals, the message of an APPEND apart; 8 kB before the login.
    -- It is a size like "50M" from 8k to 768k.
    max_command_size = "256k",

    -- Mistakes that a session is given; one more is the end.
    -- It is a whole number from 0 to 100000.
    max_errors = 50,

    -- Failed logins that a session is given; one more is the end.
    -- It is a whole number from 0 to 1000.
    max_login_failures = 3,

    -- How long a client may take for each command before it is logged in.
    -- It is a duration like "30s" from 100ms to 1h.
    login_timeout = "1m",

    -- How long a client may be silent after the login; RFC 3501 section 5.4 wants at least 30 minutes.
    -- It is a duration like "30s" from 100ms to 1d.
    command_timeout = "31m",

    -- How often an idling client hears that the gateway is still here.
    -- It is a duration like "30s" from 100ms to 1d.
    idle_interval = "2m",

}

-- iprev: whether the name of a client leads back to its address.
module "iprev" {
    -- Clients that are not asked about: servers of ours that pass mail on, our own programs. Nor are those who authenticated.
    -- It is a list of texts.
    exempt_networks = { "127.0.0.0/8", "::1", "unix" },

    -- For its DNS questions; then the result is temperror.
    -- It is a duration like "30s" from 100ms to 25s.
    deadline_ms = "10s",

}

-- Lets clients read and delete the messages of INBOX by POP3.
module "pop3" {
    -- Where passwords and tokens are taken without TLS. Mechanisms that give no secret away (SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5) need none, and are offered everywhere.
    -- It is one of "never", "loopback", "always".
    plaintext_login = "never",

    -- Mechanisms that are offered, where the authentication modules can serve them. SCRAM-SHA-1, SCRAM-SHA-1-PLUS and CRAM-MD5 are old, and offered only if they are named; so is EXTERNAL, which takes a certificate that the listener's client_authorities vouch for. Without PLAIN and LOGIN no command takes a password.
    -- It is a list of texts.
    mechanisms = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN" },

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

    -- Where passwords and tokens are taken without TLS. Mechanisms that give no secret away (SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5) need none, and are offered everywhere.
    -- It is one of "never", "loopback", "always".
    plaintext_login = "never",

    -- Mechanisms that are offered, where the authentication modules can serve them. SCRAM-SHA-1, SCRAM-SHA-1-PLUS and CRAM-MD5 are old, and offered only if they are named; so is EXTERNAL, which takes a certificate that the listener's client_authorities vouch for. Without PLAIN and LOGIN no command takes a password.
    -- It is a list of texts.
    mechanisms = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN" },

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

    -- Replies of class 5 that come at once; each one more comes error_delay later.
    -- It is a whole number from 0 to 100000.
    soft_errors = 10,

    -- How long a client that makes many mistakes waits for each reply to another one.
    -- It is a duration like "30s" from 0s to 1m.
    error_delay = "1s",

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
    max_command_length = 1090,

    -- Longest wait for a whole command.
    -- It is a duration like "30s" from 100ms to 1h.
    command_timeout = "5m",

    -- Longest wait for the next bytes of a message.
    -- It is a duration like "30s" from 100ms to 1h.
    data_timeout = "5m",

    -- Longest time from DATA to the end of the message.
    -- It is a duration like "30s" from 100ms to 24h.
    message_timeout = "1h",

    -- Bytes a second that must come, on average over data_rate_window, while a message is received; fewer are answered 421.
    -- It is a size like "50M" from 1 to 10M.
    min_data_rate = "100",

    -- How long bytes are counted before their rate is judged; also the longest silence, where data_timeout is longer.
    -- It is a duration like "30s" from 100ms to 1h.
    data_rate_window = "5m",

    -- How long clients wait for the banner. Those that do not are known to policy (session.is_early_talker): the longer it is, the more of them; honest ones wait as long.
    -- It is a duration like "30s" from 0s to 1m.
    banner_delay = "0s",

    -- Networks ("192.0.2.0/24", or "unix") whose clients may say with XCLIENT whom they speak for: policy, limits and records then see that other.
    -- It is a list of texts.
    xclient_networks = {},

    -- Networks whose clients may say with XFORWARD where they have the next message from: facts, and nothing more.
    -- It is a list of texts.
    xforward_networks = {},

    -- What VRFY answers: 502, 252 whatever the address, or whether it exists. Policy may answer by itself (client.request).
    -- It is one of "off", "neutral", "on".
    vrfy = "neutral",

    -- Whether EXPN says which accounts and addresses an address leads to, or 502. Policy may let some clients ask (client.request).
    -- It is true or false.
    expn = false,

    -- Networks whose clients may have waiting mail tried at once with ETRN; policy may let others (client.request). Not in profile lmtp.
    -- It is a list of texts.
    etrn_networks = {},

    -- Domains that they may name; empty: any.
    -- It is a list of texts.
    etrn_domains = {},

    -- Shortest time in which clients may want a message delivered or returned (DELIVERBY); said in EHLO where it is not 0.
    -- It is a duration like "30s" from 0s to 30d.
    min_deliver_by = "0s",

    -- Longest time that clients may have their mail held (FUTURERELEASE; profile submission).
    -- It is a duration like "30s" from 1s to 365d.
    max_hold = "30d",

}

-- Takes mail from another IMAP server.
module "source_imap" {
}

-- SPF: whether a host may send mail in the name of a domain.
module "spf" {
    -- Clients that are not asked about: servers of ours that pass mail on, our own programs. Nor are those who authenticated.
    -- It is a list of texts.
    exempt_networks = { "127.0.0.0/8", "::1", "unix" },

    -- For all of its DNS questions; then the result is temperror (RFC 7208 section 4.6.4).
    -- It is a duration like "30s" from 100ms to 25s.
    deadline_ms = "20s",

    -- Terms of records that may ask DNS, in one check; more are a permerror.
    -- It is a whole number from 1 to 30.
    max_lookups = 10,

    -- Of those: how many may find nothing.
    -- It is a whole number from 1 to 30.
    max_void_lookups = 2,

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
