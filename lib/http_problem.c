#include "lib/http_problem.h"

#include <ctype.h>
#include <string.h>
#include "lib/utf8.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/";

/* One path, and what is behind its ": "; NULL: there is none. */
static const char *problem_path(const char *at, struct buf *pointer, bool *has_index)
{
	while (isalpha((unsigned char)*at) || *at == '_') {
		size_t len = strspn(at, letters);
		buf_byte(pointer, '/');
		for (; len; len--, at++)
			buf_printf(pointer, "%.*s", *at == '/' ? 2 : 1, *at == '/' ? "~1" : at);
		*has_index = false;
		for (size_t digits; *at == '[' && (digits = strspn(at + 1, "0123456789")) && at[1 + digits] == ']';
		     at += digits + 2)
			*has_index = buf_printf(pointer, "/%.*s", (int)digits, at + 1);
		if (*at == ':' && at[1] == ' ')
			return at + 2;
		at += *at == '.';
	}
	return NULL;
}

/* What was said of one item of a list has its own path behind that of the item: "jobs[3]: resources.gpus: …". */
bool problem_pointer(const char *message, struct buf *pointer)
{
	bool has_index;
	const char *rest = problem_path(message, pointer, &has_index);
	size_t len = pointer->len;
	if (!rest)
		len = 0;
	else if (has_index && problem_path(rest, pointer, &has_index))
		len = pointer->len;
	CLEANUP(free_p) char *text = mem_strndup(buf_text(pointer), len);
	buf_clear(pointer);
	return buf_str(pointer, text) && rest;
}

static json_t *problem_errors(const struct problem *problem, size_t detail_len)
{
	CLEANUP(buf) struct buf pointer;
	buf_init(&pointer, 1024);
	if (!problem_pointer(problem->err->message, &pointer))
		return NULL;
	const char *text = buf_text(&pointer);
	bool is_parameter = problem->is_parameter && problem->is_parameter(problem->arg, text + 1);
	return json_pack("[{s:s%, s:o}]", "detail", problem->err->message, detail_len,
			 is_parameter ? "parameter" : "pointer",
			 is_parameter ? json_string(text + 1) : json_sprintf("#%s", text));
}

json_t *problem_document(const struct problem *problem)
{
	const struct error *err = problem->err;
	const struct error_kind_row *kind = error_kind_of(err->kind);
	/* What a caller sent may stand in a message, and need not be UTF-8: it is cut there. */
	size_t detail = utf8_valid_prefix(err->message, strlen(err->message));
	size_t hint = utf8_valid_prefix(err->hint, strlen(err->hint));
	json_t *document = json_pack("{s:s, s:s, s:i, s:s%, s:s%, s:s, s:s}", "type", "about:blank", "title",
				     kind->name, "status", problem->status, "detail", err->message, detail, "hint",
				     err->hint, hint, "kind", kind->name, "request_id", problem->request_id);
	json_t *errors = problem->status == 400 ? problem_errors(problem, detail) : NULL;
	if (errors)
		json_object_set_new(document, "errors", errors);
	return document;
}
