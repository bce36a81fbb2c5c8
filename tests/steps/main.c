/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps [NAME …]: every reader on every text, at four sizes. Prints "ok NAME …" with the
 * worst that was seen, or "not ok NAME …" with what was too much.
 */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	USUAL_SMALLEST = 4096,
	SIZES = 4,
	MOST_PERCENT = 240,
	FEW = 200, /* steps that are nothing to speak of */
};

struct worst {
	unsigned percent;
	const char *text;
	size_t size;
};

static uint64_t count(const struct reader *reader, size_t text, size_t size)
{
	struct pn_buffer buffer;
	uint64_t before;

	pn_buffer_init(&buffer, SIZE_MAX / 2);
	text_write(text, size, &buffer);
	before = steps;
	reader->read(pn_buffer_slice(&buffer));
	before = steps - before;
	pn_buffer_clear(&buffer);
	return before;
}

/* What is done once, however large the text is, falls out: what twice the text adds is compared
 * with what twice the text before added. */
static void measure(const struct reader *reader, size_t text, struct worst *worst)
{
	size_t size = reader->smallest > 0 ? reader->smallest : USUAL_SMALLEST;
	uint64_t counts[SIZES];

	/* What is made once and kept does not count. */
	(void)count(reader, text, size);
	for (int i = 0; i < SIZES; i++)
		counts[i] = count(reader, text, size << i);
	for (int i = 2; i < SIZES; i++) {
		int64_t less = (int64_t)(counts[i - 1] - counts[i - 2]);
		int64_t more = (int64_t)(counts[i] - counts[i - 1]);
		int64_t percent = more * 100 / ((less > 0 ? less : 0) + FEW);

		if (getenv("POSTERN_STEPS_SHOW") != NULL)
			printf("# %s, %s, %zu bytes: %llu steps, %lld %%\n", reader->name,
			       text_name(text), size << i, (unsigned long long)counts[i],
			       (long long)percent);
		if (percent > (int64_t)worst->percent)
			*worst = (struct worst){(unsigned)percent, text_name(text), size << i};
	}
}

static int judge(const struct reader *reader)
{
	bool is_meant = strcmp(reader->name, "quadratic on purpose") == 0;
	struct worst worst = {0, "", 0};
	bool is_linear;

	for (size_t text = 0; text_name(text) != NULL; text++)
		measure(reader, text, &worst);
	is_linear = worst.percent <= MOST_PERCENT;
	printf("%sok %s: twice the text adds at most %u.%02u times the steps (%s, %zu bytes)\n",
	       is_linear != is_meant ? "" : "not ", reader->name, worst.percent / 100,
	       worst.percent % 100, worst.text, worst.size);
	return is_linear != is_meant ? 0 : 1;
}

static bool is_wanted(const char *name, int count, char **arguments)
{
	for (int i = 1; i < count; i++) {
		if (strcmp(arguments[i], name) == 0)
			return true;
	}
	return count <= 1;
}

int main(int argument_count, char **arguments)
{
	const struct reader *const tables[] = {readers, sessions};
	int status = 0;

	for (size_t table = 0; table < 2; table++) {
		for (const struct reader *reader = tables[table]; reader->name != NULL; reader++) {
			if (is_wanted(reader->name, argument_count, arguments))
				status |= judge(reader);
		}
	}
	return status;
}
