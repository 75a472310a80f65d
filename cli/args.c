/* See the header. */
#include "cli/args.h"

#include <string.h>
#include "lib/buf.h"
#include "lib/config.h"
#include "lib/nearest.h"

struct args_state {
	const struct arg_table *tables;
	void *const *intos;
	size_t count;
	const char *const *next; /* the word after the current one */
};

static const struct arg_row *args_find(const struct args_state *s, const char *name, size_t len, char letter,
				       void **into)
{
	for (size_t t = 0; t < s->count; t++)
		for (size_t i = 0; i < s->tables[t].count; i++) {
			const struct arg_row *row = &s->tables[t].rows[i];
			bool same = name ? strlen(row->name) == len && memcmp(row->name, name, len) == 0
					 : row->letter == letter;
			if (!same)
				continue;
			*into = (char *)s->intos[t] + row->offset;
			return row;
		}
	return NULL;
}

static bool args_unknown(const struct args_state *s, const char *name, size_t len, struct error *err)
{
	CLEANUP(free_p) char *given = mem_strndup(name, len);
	struct nearest best = { .name = given };
	for (size_t t = 0; t < s->count; t++)
		for (size_t i = 0; i < s->tables[t].count; i++)
			nearest_offer(&best, s->tables[t].rows[i].name);
	char hint[128] = "";
	if (best.best)
		str_format(hint, sizeof hint, "did you mean --%s?", best.best);
	return error_set(err, ERR_INPUT, hint, "there is no option --%s", given);
}

void arg_list_add(struct arg_list *list, const char *item)
{
	list->items = mem_realloc(list->items, (list->count + 1) * sizeof *list->items);
	list->items[list->count++] = item;
}

void arg_list_done(struct arg_list *list)
{
	free(list->items);
	*list = (struct arg_list){ 0 };
}

static bool args_store(const struct arg_row *row, void *into, const char *value, struct error *err)
{
	int64_t number = 0;
	switch (row->type) {
	case ARG_FLAG:
		*(bool *)into = true;
		return true;
	case ARG_TEXT:
		*(const char **)into = value;
		return true;
	case ARG_LIST:
		arg_list_add(into, value);
		return true;
	case ARG_INT:
		if (!config_parse_int(value, &number) || number < row->min)
			return error_set(err, ERR_INPUT, NULL, "--%s: expected an integer of at least %lld, got \"%s\"",
					 row->name, (long long)row->min, value);
		*(int64_t *)into = number;
		return true;
	}
	return true;
}

/* Stores row's value: attached (NULL: none), or the next word. */
static bool args_take(struct args_state *s, const struct arg_row *row, void *into, const char *attached,
		      struct error *err)
{
	if (row->type == ARG_FLAG && attached)
		return error_set(err, ERR_INPUT, NULL, "--%s takes no value", row->name);
	if (row->type != ARG_FLAG && !attached) {
		if (!*s->next)
			return error_set(err, ERR_INPUT, NULL, "--%s wants a value: --%s %s", row->name, row->name,
					 row->value);
		attached = *s->next++;
	}
	return args_store(row, into, attached, err);
}

static bool args_long(struct args_state *s, const char *text, struct error *err)
{
	void *into = NULL;
	size_t len = strcspn(text, "=");
	const struct arg_row *row = args_find(s, text, len, 0, &into);
	if (!row)
		return args_unknown(s, text, len, err);
	return args_take(s, row, into, text[len] ? text + len + 1 : NULL, err);
}

static bool args_short(struct args_state *s, const char *letters, struct error *err)
{
	for (; *letters; letters++) {
		void *into = NULL;
		const struct arg_row *row = args_find(s, NULL, 0, *letters, &into);
		if (!row)
			return error_set(err, ERR_INPUT, NULL, "there is no option -%c", *letters);
		if (row->type != ARG_FLAG)
			return args_take(s, row, into, letters[1] ? letters + 1 : NULL, err);
		if (!args_take(s, row, into, NULL, err))
			return false;
	}
	return true;
}

bool args_parse(const struct arg_table *tables, void *const *intos, size_t count, const char *const *argv,
		struct arg_list *words, struct error *err)
{
	struct args_state s = { .tables = tables, .intos = intos, .count = count, .next = argv };
	bool options = true;
	while (*s.next) {
		const char *word = *s.next++;
		bool ok = true;
		if (options && strcmp(word, "--") == 0)
			options = false;
		else if (options && strncmp(word, "--", 2) == 0)
			ok = args_long(&s, word + 2, err);
		else if (options && word[0] == '-' && word[1])
			ok = args_short(&s, word + 1, err);
		else
			arg_list_add(words, word);
		if (!ok)
			return false;
	}
	return true;
}

void args_done(const struct arg_table *table, void *into)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->rows[i].type == ARG_LIST)
			arg_list_done((void *)((char *)into + table->rows[i].offset));
}
