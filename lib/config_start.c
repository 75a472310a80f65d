/* How a daemon begins: the answers that every one of them gives to its flags. */
#include <string.h>
#include "lib/buf.h"
#include "lib/config.h"
#include "lib/log.h"

enum config_print { PRINT_NOTHING, PRINT_VALUES, PRINT_ORIGINS, PRINT_JSON };

/* Takes --print-config[=origin|json] out of argv. */
static enum config_print config_take_print(int *argc, char **argv)
{
	enum config_print kind = PRINT_NOTHING;
	int kept = 1;
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--print-config") == 0)
			kind = PRINT_VALUES;
		else if (strcmp(argv[i], "--print-config=origin") == 0)
			kind = PRINT_ORIGINS;
		else if (strcmp(argv[i], "--print-config=json") == 0)
			kind = PRINT_JSON;
		else
			argv[kept++] = argv[i];
	}
	if (kind)
		argv[kept] = NULL;
	*argc = kept;
	return kind;
}

bool config_start(const struct option_table *table, int argc, char **argv, void *into, int *status)
{
	struct error err = { 0 };
	CLEANUP(free_p) struct config_origin *origins = mem_alloc((table->count + 1) * sizeof *origins);
	enum config_print print = config_take_print(&argc, argv);
	enum config_result result = config_load(table, argc, argv, into, origins, NULL, &err);
	*status = 0;
	if (result == CONFIG_HELP) {
		config_print_help(table, stdout);
	} else if (result == CONFIG_VERSION) {
		printf("%s %s\n", table->program, STOKER_VERSION);
	} else if (result == CONFIG_FAILED) {
		log_setup(table->program, LOG_INFO, false);
		log_failure(LOG_ERROR, "cannot start", &err);
		*status = error_kind_of(err.kind)->exit_code;
	} else if (print == PRINT_JSON) {
		config_print_json(table, into, origins, stdout);
	} else if (print) {
		config_print_values(table, into, print == PRINT_ORIGINS ? origins : NULL, stdout);
	} else {
		return true;
	}
	return false;
}
