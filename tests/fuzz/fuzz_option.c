/* SPDX-License-Identifier: Apache-2.0 */
/* Values of options: any text for every type; what is taken lies within its limits. */
#include "fuzz.h"

#include "module/options.h"

#include <postern/text.h>

struct config {
	bool flag;
	uint32_t count;
	uint64_t size, duration;
	const char *text;
	uint32_t choice;
	struct pn_text_list list;
	const char *path;
};

static const char *const words[] = {"none", "optional", "required", NULL};

static const struct pn_option options[] = {
	PN_OPTION_BOOL(struct config, flag, "no", .summary = "A flag."),
	PN_OPTION_COUNT(struct config, count, "5", .minimum_text = "1", .maximum_text = "100",
                        .summary = "A count."),
	PN_OPTION_SIZE(struct config, size, "1k", .minimum_text = "1k", .maximum_text = "1G",
                       .summary = "A size."),
	PN_OPTION_DURATION(struct config, duration, "5m", .minimum_text = "1s",
                           .maximum_text = "1h", .summary = "A duration."),
	PN_OPTION_STRING(struct config, text, NULL, .summary = "A text."),
	PN_OPTION_CHOICE(struct config, choice, "none", .choices = words, .summary = "A choice."),
	PN_OPTION_LIST(struct config, list, NULL, .summary = "A list."),
	PN_OPTION_PATH(struct config, path, NULL, .summary = "A path."),
	PN_OPTION_TABLE_END,
};

static void check_numbers(struct pn_slice text)
{
	uint64_t count, number;

	if (pn_parse_count(text, &count) == PN_OK) {
		require(pn_parse_size(text, &number) == PN_OK && number == count);
		require(pn_parse_duration(text, &number) == PN_FAILED);
	}
	if (pn_parse_duration(text, &number) == PN_OK)
		require(text.data[text.size - 1] != '0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"flag",   "count", "size", "duration", "text",
	                                    "choice", "list",  "path", "fla"};
	const char *name = names[take_byte(&data, &size) % 9];
	enum pn_setting_kind kind = (enum pn_setting_kind)(take_byte(&data, &size) % 4);
	struct pn_arena *arena = pn_arena_new();
	const char *text = pn_arena_keep_text(arena, rest_of(data, size));
	struct pn_setting setting = {.name = name,
	                             .kind = kind,
	                             .text = text,
	                             .items = &text,
	                             .item_count = 1,
	                             .line = 2};
	struct pn_settings settings = {.file = "f",
	                               .line = 1,
	                               .what = "w",
	                               .directory = "/d",
	                               .rows = &setting,
	                               .count = 1};
	struct config config = {.count = 0};
	struct pn_error error = {.text = ""};

	check_numbers(rest_of(data, size));
	if (kind == PN_SETTING_BOOL)
		setting.text = size % 2 == 0 ? "yes" : "no";
	if (pn_options_apply(options, sizeof(options[0]), &settings, arena, &config, &error) ==
	    PN_OK) {
		require(config.count >= 1 && config.count <= 100);
		require(config.size >= 1024 && config.size <= 1u << 30);
		require(config.duration >= 1000 && config.duration <= 3600000);
		require(config.choice < 3 && config.list.count <= 1);
		require(config.path == NULL || config.path[0] == '/');
	} else {
		require(strncmp(error.text, "f:2: w: ", 8) == 0);
	}
	pn_nearest_word(text, words);
	pn_arena_free(&arena);
	return 0;
}
