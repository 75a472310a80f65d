/*
 * Reading options: flags, then environment, then the file, then the defaults.
 * Each option is set once, by the first of them that names it.
 */
#include "lib/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/config_rows.h"
#include "lib/nearest.h"
#include "lib/yaml.h"

struct config_reader {
	const struct option_table *table;
	void *into;
	struct config_origin *origins; /* of what is set; "" while it is not */
	struct error *err;
};

static const struct option_row *config_find(const struct option_table *table, const char *name, size_t len)
{
	for (size_t i = 0; i < table->count; i++)
		if (strlen(table->rows[i].name) == len && memcmp(table->rows[i].name, name, len) == 0)
			return &table->rows[i];
	return NULL;
}

/* An error that offers the option that was probably meant. */
static bool config_unknown(const struct config_reader *r, const char *where, const char *name, const char *prefix)
{
	struct nearest nearest = { .name = name };
	char hint[120] = "";
	for (size_t i = 0; i < r->table->count; i++)
		nearest_offer(&nearest, r->table->rows[i].name);
	if (nearest.best)
		str_format(hint, sizeof hint, "did you mean %s%s?", prefix, nearest.best);
	else
		str_format(hint, sizeof hint, "%s --help lists the options", r->table->program);
	return error_set(r->err, ERR_INPUT, hint, "%s: unknown option", where);
}

static bool config_set(const struct config_reader *r, const struct option_row *row, const char *text, const char *where,
		       const char *origin)
{
	if (!config_set_value(row, text, r->into, where, r->err))
		return false;
	str_format(r->origins[row - r->table->rows].text, sizeof r->origins->text, "%.90s", origin);
	return true;
}

static bool config_is_set(const struct config_reader *r, const struct option_row *row)
{
	return r->origins[row - r->table->rows].text[0] != '\0';
}

/* ---- flags ---- */

struct config_args {
	int argc;
	char **argv;
	int at;
	const char *file;          /* --config */
	enum config_result result; /* CONFIG_HELP, CONFIG_VERSION when asked for */
};

/* The value of argv[at], a flag whose name has len bytes: after =, or the next word. NULL: none. */
static const char *config_flag_value(struct config_args *a, size_t len, bool takes_next)
{
	const char *flag = a->argv[a->at];
	if (flag[2 + len] == '=')
		return flag + 2 + len + 1;
	if (takes_next && a->at + 1 < a->argc)
		return a->argv[++a->at];
	return NULL;
}

static bool config_flag(const struct config_reader *r, struct config_args *a)
{
	const char *name = a->argv[a->at] + 2;
	size_t len = strcspn(name, "=");
	char where[96], origin[96];
	str_format(where, sizeof where, "--%.*s", (int)(len < 80 ? len : 80), name);
	str_format(origin, sizeof origin, "flag %s", where);

	const struct option_row *row = config_find(r->table, name, len);
	bool is_file = !row && len == 6 && memcmp(name, "config", 6) == 0;
	if (!row && !is_file)
		return config_unknown(r, where, where + 2, "--");
	bool is_switch = row && row->type == OPTION_BOOL;
	const char *value = config_flag_value(a, len, !is_switch);
	if (!value && is_switch)
		value = "true";
	if (!value)
		return error_set(r->err, ERR_INPUT, NULL, "%s: expected a value after it", where);
	if (is_file) {
		a->file = value;
		return true;
	}
	return config_set(r, row, value, where, origin);
}

static bool config_is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Stops at the first word that is no option, or behind "--". */
static bool config_flags(const struct config_reader *r, struct config_args *a)
{
	for (a->at = 1; a->at < a->argc; a->at++) {
		const char *word = a->argv[a->at];
		if (config_is_help(word) || strcmp(word, "--version") == 0) {
			a->result = config_is_help(word) ? CONFIG_HELP : CONFIG_VERSION;
			return true;
		}
		if (strcmp(word, "--") == 0) {
			a->at++;
			return true;
		}
		if (word[0] != '-' || word[1] == '\0')
			return true;
		if (word[1] != '-')
			return error_set(r->err, ERR_INPUT, "options have two dashes and a long name",
					 "%.80s: unknown option", word);
		if (!config_flag(r, a))
			return false;
	}
	return true;
}

/* ---- environment ---- */

void config_env_name(const struct option_row *row, char name[CONFIG_ENV_MAX])
{
	str_format(name, CONFIG_ENV_MAX, "STOKER_%s", row->name);
	for (char *c = name; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

/* A STOKER_ variable that is one letter off a known one is a typing mistake; any other belongs to
 * another program. */
static bool config_check_env(const struct config_reader *r)
{
	for (char **e = environ; *e; e++) {
		char name[CONFIG_ENV_MAX], known[CONFIG_ENV_MAX], near[CONFIG_ENV_MAX] = "";
		size_t len = strcspn(*e, "=");
		bool is_known = strncmp(*e, "STOKER_CONFIG=", 14) == 0;
		if (strncmp(*e, "STOKER_", 7) != 0 || !str_format(name, sizeof name, "%.*s", (int)len, *e))
			continue;
		for (size_t i = 0; i < r->table->count && !is_known; i++) {
			config_env_name(&r->table->rows[i], known);
			is_known = strcmp(name, known) == 0;
			if (nearest_distance(name, known) == 1)
				str_copy(near, sizeof near, known);
		}
		if (!is_known && near[0]) {
			char hint[120];
			str_format(hint, sizeof hint, "did you mean %s?", near);
			return error_set(r->err, ERR_INPUT, hint, "%s: unknown variable", name);
		}
	}
	return true;
}

static bool config_env(const struct config_reader *r)
{
	for (size_t i = 0; i < r->table->count; i++) {
		const struct option_row *row = &r->table->rows[i];
		char name[CONFIG_ENV_MAX];
		config_env_name(row, name);
		const char *value = getenv(name);
		if (value && !config_is_set(r, row) && !config_set(r, row, value, name, name))
			return false;
	}
	return config_check_env(r);
}

/* ---- file ---- */

/* A value of the file as a user would write it on the command line; false for an object. */
static bool config_file_text(const json_t *value, struct buf *text)
{
	size_t i;
	const json_t *item;
	switch (json_typeof(value)) {
	case JSON_STRING:
		return buf_str(text, json_string_value(value));
	case JSON_INTEGER:
		return buf_printf(text, "%lld", json_integer_value(value));
	case JSON_REAL:
		return buf_printf(text, "%.15g", json_real_value(value));
	case JSON_TRUE:
		return buf_str(text, "true");
	case JSON_FALSE:
		return buf_str(text, "false");
	case JSON_ARRAY:
		json_array_foreach(value, i, item)
		{
			if (json_is_array(item) || (i && !buf_byte(text, ',')) || !config_file_text(item, text))
				return false;
		}
		return true;
	case JSON_OBJECT:
	case JSON_NULL:
	default:
		return false;
	}
}

static bool config_file_option(const struct config_reader *r, const char *key, const json_t *value, const char *path,
			       int line)
{
	char name[80], where[400], origin[400];
	str_format(name, sizeof name, "%.79s", key);
	for (char *c = name; *c; c++)
		if (*c == '_')
			*c = '-';
	str_format(where, sizeof where, "%.200s:%d: %.80s", path, line, key);
	str_format(origin, sizeof origin, "%.200s:%d", path, line);

	const struct option_row *row = config_find(r->table, name, strlen(name));
	if (!row)
		return config_unknown(r, where, name, "");
	if (config_is_set(r, row) || json_is_null(value))
		return true;
	CLEANUP(buf) struct buf text;
	buf_init(&text, 64 * 1024);
	if (!config_file_text(value, &text))
		return error_set(r->err, ERR_INPUT, NULL, "%s: expected one value", where);
	return config_set(r, row, buf_text(&text), where, origin);
}

static bool config_read_file(const char *path, struct buf *text, struct error *err)
{
	const char *hint = "--config and STOKER_CONFIG name the file";
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, ERR_INPUT, hint, "cannot open the configuration %s", path);
	char chunk[8192];
	ssize_t got;
	while ((got = read(fd, chunk, sizeof chunk)) > 0)
		if (!buf_add(text, chunk, (size_t)got))
			return error_set(err, ERR_INPUT, NULL, "%s: expected at most %zu bytes", path, text->max);
	if (got < 0)
		return error_errno(err, ERR_INPUT, hint, "cannot read the configuration %s", path);
	return true;
}

static bool config_file(const struct config_reader *r, const char *path)
{
	CLEANUP(buf) struct buf text;
	buf_init(&text, YAML_MAX_BYTES);
	if (!config_read_file(path, &text, r->err))
		return false;
	json_auto_t *root = yaml_decode(buf_text(&text), text.len, path, r->err);
	if (!root)
		return false;
	if (json_is_null(root))
		return true;
	if (!json_is_object(root))
		return error_set(r->err, ERR_INPUT, NULL, "%s: expected lines of the form option: value", path);
	const char *key;
	json_t *value;
	json_object_foreach(root, key,
			    value) if (!config_file_option(r, key, value, path,
							   yaml_line_of(buf_text(&text), text.len, key))) return false;
	return true;
}

/* ---- all of it ---- */

static bool config_defaults(const struct config_reader *r)
{
	for (size_t i = 0; i < r->table->count; i++) {
		const struct option_row *row = &r->table->rows[i];
		if (config_is_set(r, row))
			continue;
		if (!row->default_text)
			str_copy(r->origins[i].text, sizeof r->origins[i].text, "default");
		else if (!config_set(r, row, row->default_text, row->name, "default"))
			return false; /* a defect of the table */
	}
	return true;
}

static enum config_result config_read(const struct config_reader *r, struct config_args *a, int *rest)
{
	if (!config_flags(r, a))
		return CONFIG_FAILED;
	if (a->result != CONFIG_OK)
		return a->result;
	if (rest) {
		*rest = a->at;
	} else if (a->at < a->argc) {
		error_set(r->err, ERR_INPUT, r->table->usage, "%.80s: unexpected word", a->argv[a->at]);
		return CONFIG_FAILED;
	}
	if (!config_env(r))
		return CONFIG_FAILED;
	const char *file = a->file ? a->file : getenv("STOKER_CONFIG");
	if (file && *file && !config_file(r, file))
		return CONFIG_FAILED;
	return config_defaults(r) ? CONFIG_OK : CONFIG_FAILED;
}

enum config_result config_load(const struct option_table *table, int argc, char **argv, void *into,
			       struct config_origin *origins, int *rest, struct error *err)
{
	CLEANUP(free_p) struct config_origin *set = mem_alloc((table->count + 1) * sizeof *set);
	struct config_reader r = { .table = table, .into = into, .origins = set, .err = err };
	struct config_args a = { .argc = argc, .argv = argv, .result = CONFIG_OK };

	enum config_result result = config_read(&r, &a, rest);
	if (result != CONFIG_OK)
		config_done(table, into);
	else if (origins)
		memcpy(origins, set, table->count * sizeof *set);
	return result;
}

void config_done(const struct option_table *table, void *into)
{
	for (size_t i = 0; i < table->count; i++)
		config_free_value(&table->rows[i], into);
}
