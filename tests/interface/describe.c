/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads one file through core/module and prints what it is, as `postern module
 * describe FILE` does: for the interface test where the program itself was not
 * built. Exports the functions of the public headers, as the program does.
 */
#include "module/loader.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argument_count, char **arguments)
{
	static const char *const directories[] = {NULL};
	const struct pn_loaded_module *loaded;
	struct pn_loader *loader;
	struct pn_error error;

	if (argument_count < 2) {
		fputs("usage: describe FILE.so\n", stderr);
		return 2;
	}
	if (pn_loader_new(directories, &loader, &error) != PN_OK ||
	    pn_loader_file(loader, arguments[argument_count - 1], &loaded, &error) != PN_OK) {
		fprintf(stderr, "postern: %s\n", error.text);
		return EXIT_FAILURE;
	}
	printf("%s %s: %s\n", loaded->module.name, loaded->module.version, loaded->module.summary);
	return EXIT_SUCCESS;
}
