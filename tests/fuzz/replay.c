/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over the files of its corpus, for builds without libFuzzer:
 * what was found once stays fixed. replay DIRECTORY-OR-FILE …
 */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

static unsigned long replayed;

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat status;
	uint8_t *data = NULL;
	size_t size;
	int result = 1;

	if (file == NULL || fstat(fileno(file), &status) != 0) {
		perror(path);
		goto done;
	}
	size = (size_t)status.st_size;
	data = malloc(size > 0 ? size : 1);
	if (data == NULL || fread(data, 1, size, file) != size) {
		fprintf(stderr, "%s: cannot be read\n", path);
		goto done;
	}
	LLVMFuzzerTestOneInput(data, size);
	replayed++;
	result = 0;
done:
	free(data);
	if (file != NULL)
		fclose(file);
	return result;
}

static int run_path(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	int result = 0;

	if (directory == NULL)
		return run_file(path);
	while ((entry = readdir(directory)) != NULL) {
		char inner[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		result |= run_file(inner);
	}
	closedir(directory);
	return result;
}

int main(int argument_count, char **arguments)
{
	int result = 0;

	for (int index = 1; index < argument_count; index++)
		result |= run_path(arguments[index]);
	printf("%s: %lu inputs\n", arguments[0], replayed);
	return replayed == 0 ? 1 : result;
}
