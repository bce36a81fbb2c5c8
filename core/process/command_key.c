/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern key new` and `postern key show`: keys that sign mail, and what is to be put into DNS for
 * those who verify it (RFC 6376 section 3.6, RFC 8463).
 */
#include <postern/address.h>
#include <postern/signature.h>
#include <postern/text.h>

#include "io/digest.h"
#include "process/command.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BITS_USUAL = 2048,
	BITS_LEAST = 1024, /* RFC 8301 section 3.2 */
	BITS_MOST = 4096,  /* longer ones do not fit what resolvers like to carry */
	PEM_MAX = 64 * 1024,
	RECORD_MAX = 16 * 1024,
	STRING_MAX = 255, /* of a TXT record (RFC 1035 section 3.3) */
};

const char *const pn_key_options[] = {
	"--algorithm=", "--bits=", "--domain=", "--file=", "--selector=", NULL};

static const char key_usage[] =
	"usage: postern key new --domain NAME --selector NAME --file FILE [--algorithm NAME] "
	"[--bits N]\n"
	"       postern key show --domain NAME --selector NAME --file FILE\n"
	"\n"
	"new writes a private key, readable by its owner alone, and never over a file that is "
	"there.\n"
	"Both print the record that is to be put into DNS, as a line of a zone file.\n"
	"  --algorithm NAME  rsa-sha256 (usual; everybody verifies it) or ed25519-sha256\n"
	"  --bits N          of an RSA key: 1024 to 4096; usually 2048\n"
	"  --json            name and value of the record, for programs\n";

static const char *option_of(const struct pn_arguments *arguments, const char *name)
{
	for (int i = 0; i < arguments->option_count; i++) {
		if (strcmp(arguments->options[i].name, name) == 0)
			return arguments->options[i].value;
	}
	return NULL;
}

static int fail(const struct pn_error *error)
{
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

/* ---- files ---- */

static enum pn_status flush_folder(const char *path, struct pn_error *error)
{
	char *copy = strdup(path);
	int folder;
	int result;

	if (copy == NULL)
		abort();
	folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	result = folder < 0 ? -1 : fsync(folder);
	if (folder >= 0)
		close(folder);
	return result == 0 ? PN_OK
	                   : pn_fail_errno(error, errno, "cannot flush the folder of %s", path);
}

static enum pn_status write_new(const char *path, struct pn_slice text, struct pn_error *error)
{
	int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	enum pn_status status = PN_OK;

	if (file < 0)
		return errno == EEXIST
		               ? pn_fail(error, "%s is there already, and is not written over",
		                         path)
		               : pn_fail_errno(error, errno, "cannot make %s", path);
	while (text.size > 0 && status == PN_OK) {
		ssize_t size = write(file, text.data, text.size);

		if (size < 0 && errno != EINTR)
			status = pn_fail_errno(error, errno, "cannot write %s", path);
		text = pn_slice_behind(text, size > 0 ? (size_t)size : 0);
	}
	if (status == PN_OK && fsync(file) != 0)
		status = pn_fail_errno(error, errno, "cannot flush %s", path);
	close(file);
	if (status != PN_OK)
		unlink(path); /* a part of a key is none */
	return status == PN_OK ? flush_folder(path, error) : status;
}

static enum pn_status read_key(const char *path, struct pn_private_key **key_out,
                               struct pn_error *error)
{
	char text[PEM_MAX];
	struct pn_error why;
	FILE *file = fopen(path, "re");
	size_t size;
	enum pn_status status;

	if (file == NULL)
		return pn_fail_errno(error, errno, "cannot read the key %s", path);
	size = fread(text, 1, sizeof(text), file);
	fclose(file);
	status = pn_private_key_read_pem(pn_slice_make(text, size), key_out, &why);
	pn_wipe(text, sizeof(text));
	return status == PN_OK ? PN_OK : pn_fail(error, "%s: %s", path, why.text);
}

static enum pn_status make_key(const struct pn_arguments *arguments, const char *path,
                               struct pn_private_key **key_out, struct pn_error *error)
{
	const char *algorithm = option_of(arguments, "--algorithm");
	const char *bits_text = option_of(arguments, "--bits");
	bool is_rsa = algorithm == NULL || strcmp(algorithm, "rsa-sha256") == 0;
	uint64_t bits = BITS_USUAL;
	struct pn_buffer pem;
	enum pn_status status;

	if (!is_rsa && strcmp(algorithm, "ed25519-sha256") != 0)
		return pn_fail(error, "--algorithm is rsa-sha256 or ed25519-sha256");
	if (bits_text != NULL && !is_rsa)
		return pn_fail(error, "--bits is for RSA: keys of Ed25519 are of one size");
	if (bits_text != NULL && (pn_parse_count(pn_slice_of(bits_text), &bits) != PN_OK ||
	                          bits < BITS_LEAST || bits > BITS_MOST))
		return pn_fail(error, "--bits is a number from %d to %d", BITS_LEAST, BITS_MOST);
	if (pn_private_key_new(is_rsa ? PN_SIGNATURE_RS256 : PN_SIGNATURE_EDDSA, (unsigned)bits,
	                       key_out, error) != PN_OK)
		return PN_FAILED;
	pn_buffer_init(&pem, PEM_MAX);
	status = pn_private_key_write_pem(*key_out, &pem);
	if (status != PN_OK)
		status = pn_fail(error, "the key cannot be written in PEM form");
	else
		status = write_new(path, pn_buffer_slice(&pem), error);
	if (pem.data != NULL)
		pn_wipe(pem.data, pem.size);
	pn_buffer_clear(&pem);
	return status;
}

/* ---- the record ---- */

static enum pn_status write_record(const struct pn_private_key *key, struct pn_buffer *out)
{
	bool is_rsa = pn_private_key_algorithm(key) == PN_SIGNATURE_RS256;
	struct pn_buffer bytes;
	enum pn_status status;

	pn_buffer_init(&bytes, RECORD_MAX);
	status = pn_private_key_public(key, &bytes);
	if (status == PN_OK)
		status = pn_buffer_print(out, "v=DKIM1; k=%s; p=", is_rsa ? "rsa" : "ed25519");
	if (status == PN_OK)
		status = pn_base64_encode(out, pn_buffer_slice(&bytes));
	pn_buffer_clear(&bytes);
	return status;
}

static void print_zone(const char *selector, const char *domain, struct pn_slice record)
{
	printf("%s._domainkey.%s. 3600 IN TXT", selector, domain);
	while (record.size > 0) {
		size_t size = record.size < STRING_MAX ? record.size : STRING_MAX;

		printf(" \"%.*s\"", (int)size, record.data);
		record = pn_slice_behind(record, size);
	}
	putchar('\n');
}

static int print_record(const struct pn_arguments *arguments, const struct pn_private_key *key)
{
	const char *domain = option_of(arguments, "--domain");
	const char *selector = option_of(arguments, "--selector");
	struct pn_buffer record;
	struct pn_error error;
	int code = 0;

	pn_buffer_init(&record, RECORD_MAX);
	if (write_record(key, &record) != PN_OK) {
		(void)!pn_fail(&error, "the key has no public half");
		code = fail(&error);
	} else if (arguments->json) {
		printf("{\"name\": \"%s._domainkey.%s\", \"type\": \"TXT\", \"value\": \"%.*s\"}\n",
		       selector, domain, PN_SLICE_ARGS(pn_buffer_slice(&record)));
	} else {
		print_zone(selector, domain, pn_buffer_slice(&record));
	}
	pn_buffer_clear(&record);
	return code;
}

int pn_command_key(const struct pn_arguments *arguments)
{
	const char *domain = option_of(arguments, "--domain");
	const char *selector = option_of(arguments, "--selector");
	const char *path = option_of(arguments, "--file");
	struct pn_private_key *key = NULL;
	struct pn_error error;
	enum pn_status status;
	bool is_new = arguments->word_count == 1 && strcmp(arguments->words[0], "new") == 0;
	int code;

	if (arguments->help) {
		fputs(key_usage, stdout);
		return 0;
	}
	if ((!is_new && (arguments->word_count != 1 || strcmp(arguments->words[0], "show") != 0)) ||
	    domain == NULL || selector == NULL || path == NULL) {
		fputs(key_usage, stderr);
		return 2;
	}
	if (!pn_domain_is_valid(pn_slice_of(domain), false) ||
	    !pn_domain_is_valid(pn_slice_of(selector), false)) {
		(void)!pn_fail(&error,
		               "--domain and --selector are made of letters, digits, '-' and "
		               "dots");
		return fail(&error);
	}
	status = is_new ? make_key(arguments, path, &key, &error) : read_key(path, &key, &error);
	code = status == PN_OK ? print_record(arguments, key) : fail(&error);
	pn_private_key_free(&key);
	return code;
}
