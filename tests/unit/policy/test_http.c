/* SPDX-License-Identifier: Apache-2.0 */
/* The libraries http and cache as scripts see them: what is asked, and what is refused. */
#include "harness.h"

#include <postern/cache.h>
#include <postern/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../exact.h"
#include "io/http.h"

#include <arpa/inet.h>

/* ---- a cache that says what it was asked ---- */

static char asked[400];
static enum pn_status cache_status;

static void answer_cache(const char *line, struct pn_ticket ticket)
{
	struct pn_cache_value *value = calloc(1, sizeof(*value));

	snprintf(asked, sizeof(asked), "%s", line);
	*value = (struct pn_cache_value){.struct_size = sizeof(*value),
	                                 .found = true,
	                                 .value = pn_slice_of(asked),
	                                 .number = 7};
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, cache_status, value, free, NULL);
}

static void cache_get(void *instance, struct pn_slice key, struct pn_ticket ticket)
{
	char line[400];

	snprintf(line, sizeof(line), "%s get %.*s", (char *)instance, PN_SLICE_ARGS(key));
	answer_cache(line, ticket);
}

static void cache_set(void *instance, struct pn_slice key, struct pn_slice value,
                      uint64_t lifetime_ms, struct pn_ticket ticket)
{
	char line[400];

	snprintf(line, sizeof(line), "%s set %.*s %.20s(%zu) %llu", (char *)instance,
	         PN_SLICE_ARGS(key), value.data, value.size, (unsigned long long)lifetime_ms);
	answer_cache(line, ticket);
}

static void cache_add(void *instance, struct pn_slice key, int64_t amount, uint64_t lifetime_ms,
                      struct pn_ticket ticket)
{
	char line[400];

	snprintf(line, sizeof(line), "%s add %.*s %lld %llu", (char *)instance, PN_SLICE_ARGS(key),
	         (long long)amount, (unsigned long long)lifetime_ms);
	answer_cache(line, ticket);
}

static const struct pn_cache cache = {
	.struct_size = sizeof(cache), .get = cache_get, .set = cache_set, .add = cache_add};
static const struct pn_module module = {.name = "cache", .cache = &cache};
static char first_state[] = "first", second_state[] = "second";
static struct pn_instance first = {.module = &module, .name = "one", .state = first_state};
static struct pn_instance second = {.module = &module, .name = "two", .state = second_state};
static const struct pn_instance_use uses[] = {{.instance = &first}, {.instance = &second}};

/* What becomes of a body in a policy that is granted this. */
static const char *outcome(const char *body, const char *const *allow, size_t caches)
{
	static char room[1200];
	char text[4096], path[] = "/tmp/postern-policy-XXXXXX";
	int file = mkstemp(path);
	struct pn_policy_file policy = {.path = path,
	                                .label = "test.lua",
	                                .allow = allow,
	                                .cpu_ms = 200,
	                                .wall_ms = 30000,
	                                .memory_bytes = 16 * 1024 * 1024,
	                                .file = "postern.lua",
	                                .line = 7};
	struct pn_policy_set *set = NULL;
	struct pn_error error;
	const struct pn_policy_hook *hooks;
	struct fake_call *call;
	size_t count;

	snprintf(text, sizeof(text), "on('connection.open', function(session)\n%s\nend)", body);
	ck_assert_int_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
	close(file);
	fake_reset();
	cache_status = PN_OK;
	if (pn_policy_load(&policy, 1, uses, caches, &set, &error) != PN_OK) {
		snprintf(room, sizeof(room), "refused: %s", error.text);
	} else {
		hooks = pn_policy_hooks(set, &count);
		call = fake_run(&hooks[0], fake_session(), NULL, NULL, NULL);
		for (int round = 0; round < 100 && call->verdict == PN_VERDICT_PENDING; round++)
			fake_advance(1000);
		fake_outcome(call, room, sizeof(room));
		fake_advance(0);
		pn_policy_free(set);
	}
	unlink(path);
	return room;
}

static void says(const char *body, const char *const *allow, const char *words)
{
	const char *said = outcome(body, allow, 2);

	ck_assert_msg(strstr(said, words) != NULL, "%s\nwanted %s\ngot    %s", body, words, said);
}

#define ASKED(expression)                                                                          \
	"local r, why = " expression " return reject(550, '5.0.0', r and r.body or why)"

static const char *const web[] = {"http", NULL};
static const char *const private_web[] = {"http_private", NULL};
static const char *const caches[] = {"cache", NULL};
static const char *const nothing[] = {NULL};

START_TEST(requests_are_as_they_were_asked_for)
{
	says(ASKED("http.get('http://example.org/a?b=c')"), web,
	     "GET http://example.org/a?b=c [] 10000 262144");
	says(ASKED("http.post('https://example.org/', 'body', { timeout = '2s', max_body = '1k' "
	           "})"),
	     web, "POST https://example.org/ [body] 2000 1024");
	says(ASKED("http.request { url = 'http://x/', method = 'PUT', body = '', redirects = true, "
	           "headers = { Accept = 'text/plain' } }"),
	     web, "PUT http://x/ [] 10000 262144 redirects Accept=text/plain");
	says(ASKED("http.get('http://127.0.0.1/')"), private_web,
	     "GET http://127.0.0.1/ [] 10000 262144 private");
	says("local r = http.get('http://x/') return reject(550, '5.0.0', r.status .. "
	     "r.headers['content-type'] .. ' ' .. r.headers['x-twice'])",
	     web, "200text/plain one, two");
}
END_TEST

START_TEST(without_an_answer_there_is_a_reason)
{
	says(ASKED("http.get('http://denied/')"), web, "trouble");
	says(ASKED("http.get('http://silent/', { timeout = '5s' })"), web, "no answer in time");
}
END_TEST

START_TEST(what_is_no_request_is_an_error)
{
	static const struct {
		const char *body;
		const char *words;
	} cases[] = {
		{"http.get()", "string expected"},
		{"http.get({})", "string expected"},
		{"http.get(session)", "string expected"},
		{"http.get('http://x/', 'y')", "table expected"},
		{"http.post('http://x/')", "string expected"},
		{"http.request('http://x/')", "table expected"},
		{"http.request {}", "http: there is no url"},
		{"http.get('http://x/', { tmieout = '1s' })", "did you mean \"timeout\"?"},
		{"http.get('http://x/', { timeout = '61s' })", "timeout cannot be \"61s\""},
		{"http.get('http://x/', { timeout = '0s' })", "timeout cannot be \"0s\""},
		{"http.get('http://x/', { timeout = 5 })", "timeout is a text"},
		{"http.get('http://x/', { max_body = '1025k' })", "max_body cannot be"},
		{"http.get('http://x/', { headers = 'x' })", "headers is a table"},
		{"http.get('http://x/', { headers = { [1] = 'x' } })", "names and values"},
		{"http.get('http://x/', { headers = { x = {} } })", "names and values"},
		{"local h = {} for i = 1, 65 do h['h' .. i] = 'x' end http.get('http://x/', { "
	         "headers "
	         "= h })",
	         "at most 64 headers"},
		{"local h = {} for i = 1, 64 do h['h' .. i] = 'x' end http.get('http://x/', { "
	         "headers "
	         "= h }) error('fine')",
	         "fine"},
		{"http.get = nil", "belongs to the gateway"},
		{"for i = 1, 251 do http.get('http://x/') end", "at most 250 changes"},
	};

	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++)
		says(cases[index].body, web, cases[index].words);
	says("http.get('http://x/')", nothing, "this policy is not allowed \"http\"");
	says("http.get('http://x/')", caches, "this policy is not allowed \"http\"");
}
END_TEST

START_TEST(caches_are_asked)
{
	says("return reject(550, '5.0.0', cache.get('k'))", caches, "first get k");
	says("cache.set('k', 'v', '10m') error(cache.get('x') .. '')", caches, "first get x");
	says("return reject(550, '5.0.0', cache.add('k', 3, '1d') .. '')", caches, "5.0.0 7");
	says("local ok, n = cache.rate('k', 7, '1m') error(tostring(ok) .. n)", caches, "true7");
	says("local ok, n = cache.rate('k', 6, '1m', 5) error(tostring(ok) .. n)", caches,
	     "false7");
	says("return reject(550, '5.0.0', cache.open('two').get('k'))", caches, "second get k");
	says("return reject(550, '5.0.0', cache.open('two').open('one').get('k'))", caches,
	     "first get k");
	says("cache.open('three')", caches, "there is no cache \"three\"");
	/* A key that is too long stands by its digest; one that just fits is itself. */
	says("return reject(550, '5.0.0', #cache.get(('k'):rep(256)) .. '')", caches, "5.0.0 266");
	says("return reject(550, '5.0.0', cache.get(('k'):rep(257)))", caches, "first get sha256:");
	ck_assert_str_eq(
		outcome("return reject(550, '5.0.0', cache.get('k'))", caches, 0),
		"refused: postern.lua:7: policy \"test.lua\" is allowed \"cache\", and there "
		"is none: add module \"cache_local\" { }");
}
END_TEST

START_TEST(what_no_cache_can_do_is_an_error)
{
	static const struct {
		const char *body;
		const char *words;
	} cases[] = {
		{"cache.get('')", "a key has at least one byte"},
		{"cache.get({})", "string expected"},
		{"cache.get(session)", "string expected"},
		{"cache.set('k', 'v')", "string expected"},
		{"cache.set('k', 'v', 10)", "string expected"},
		{"cache.set('k', 'v', '0s')", "write a duration"},
		{"cache.set('k', 'v', '367d')", "write a duration"},
		{"cache.set('k', ('v'):rep(4097), '1s')", "a value has at most 4096 bytes"},
		{"cache.set('k', ('v'):rep(4096), '366d') error('fine')", "fine"},
		{"cache.add('k', 1.5, '1s')", "integer"},
		{"cache.rate('k', -1, '1s')", "a limit is not negative"},
		{"cache.open(1, 2).x()", "there is no cache \"1\""},
		{"cache.x()", "cache has no \"x\""},
		{"cache.open('one').get = 1", "belongs to the gateway"},
		{"for i = 1, 251 do cache.set('k', 'v', '1s') end", "at most 250 changes"},
	};

	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++)
		says(cases[index].body, caches, cases[index].words);
}
END_TEST

START_TEST(only_public_addresses_are_public)
{
	static const char *const others[] = {"0.0.0.0",
	                                     "10.1.2.3",
	                                     "100.64.0.1",
	                                     "100.127.255.255",
	                                     "127.0.0.1",
	                                     "127.255.255.255",
	                                     "169.254.169.254",
	                                     "172.16.0.1",
	                                     "172.31.255.255",
	                                     "192.0.0.1",
	                                     "192.0.2.1",
	                                     "192.168.0.1",
	                                     "198.18.0.1",
	                                     "198.51.100.1",
	                                     "203.0.113.1",
	                                     "224.0.0.1",
	                                     "255.255.255.255",
	                                     "::",
	                                     "::1",
	                                     "::ffff:8.8.8.8",
	                                     "64:ff9b::808:808",
	                                     "fe80::1",
	                                     "fc00::1",
	                                     "fd00::1",
	                                     "ff02::1",
	                                     "2001:db8::1",
	                                     "2001::1",
	                                     "2002:7f00:1::1",
	                                     "3fff::1",
	                                     "100::1",
	                                     "4000::1"};
	static const char *const public[] = {"8.8.8.8",      "100.63.255.255",  "100.128.0.0",
	                                     "172.15.0.1",   "172.32.0.1",      "198.17.255.255",
	                                     "198.20.0.1",   "223.255.255.255", "2a00::1",
	                                     "2001:4860::1", "2606:4700::1",    "2003::1"};
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	for (size_t index = 0; index < sizeof(others) / sizeof(others[0]); index++) {
		bool is_four = inet_pton(AF_INET, others[index], &four.sin_addr) == 1;

		ck_assert(is_four || inet_pton(AF_INET6, others[index], &six.sin6_addr) == 1);
		ck_assert_msg(!pn_http_is_public(is_four ? (struct sockaddr *)&four
		                                         : (struct sockaddr *)&six),
		              "%s", others[index]);
	}
	for (size_t index = 0; index < sizeof(public) / sizeof(public[0]); index++) {
		bool is_four = inet_pton(AF_INET, public[index], &four.sin_addr) == 1;

		ck_assert(is_four || inet_pton(AF_INET6, public[index], &six.sin6_addr) == 1);
		ck_assert_msg(pn_http_is_public(is_four ? (struct sockaddr *)&four
		                                        : (struct sockaddr *)&six),
		              "%s", public[index]);
	}
}
END_TEST

Suite *http_suite(void)
{
	const TTest *const tests[] = {requests_are_as_they_were_asked_for,
	                              without_an_answer_there_is_a_reason,
	                              what_is_no_request_is_an_error,
	                              caches_are_asked,
	                              what_no_cache_can_do_is_an_error,
	                              only_public_addresses_are_public,
	                              NULL};

	return suite_of("http and cache", tests);
}
