#include "lib/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/utf8.h"

#define YAML_PATH_MAX 4096

struct yaml_reader {
	yaml_parser_t parser;
	const char *origin;
	struct buf path;    /* of the value being read */
	const char *wanted; /* yaml_line_of: stop at this path … */
	int found;          /* … whose line is this */
	struct error *err;
};

static json_t *yaml_node(struct yaml_reader *r, const yaml_event_t *event, int depth);

static void cleanup_event(yaml_event_t *event)
{
	yaml_event_delete(event);
}

static void yaml_fail(struct yaml_reader *r, size_t line, const char *hint, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* line counts from 0, as libyaml does. */
static void yaml_fail(struct yaml_reader *r, size_t line, const char *hint, const char *fmt, ...)
{
	char what[sizeof r->err->message];
	va_list args;
	va_start(args, fmt);
	if (vsnprintf(what, sizeof what, fmt, args) < 0)
		what[0] = '\0';
	va_end(args);
	if (r->origin)
		error_set(r->err, ERR_INPUT, hint, "%s:%zu: %s", r->origin, line + 1, what);
	else
		error_set(r->err, ERR_INPUT, hint, "line %zu: %s", line + 1, what);
}

static bool yaml_next(struct yaml_reader *r, yaml_event_t *event)
{
	if (yaml_parser_parse(&r->parser, event))
		return true;
	const yaml_parser_t *p = &r->parser;
	memset(event, 0, sizeof *event);
	yaml_fail(r, p->problem_mark.line, NULL, "not valid YAML: %s%s%s", p->problem ? p->problem : "cannot be read",
		  p->context ? " " : "", p->context ? p->context : "");
	return false;
}

/* ---- scalars: the core schema ---- */

static bool yaml_is_word(const char *text, const char *a, const char *b, const char *c)
{
	return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static bool yaml_is_int(const char *text)
{
	text += *text == '-' || *text == '+';
	return *text && text[strspn(text, "0123456789")] == '\0';
}

/* [-+]? ( . digits | digits ( . digits* )? ) ( [eE] [-+]? digits )? */
static bool yaml_is_float(const char *text)
{
	text += *text == '-' || *text == '+';
	size_t whole = strspn(text, "0123456789");
	text += whole;
	if (*text == '.') {
		size_t part = strspn(++text, "0123456789");
		if (whole + part == 0)
			return false;
		text += part;
	} else if (whole == 0) {
		return false;
	}
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		return *text && text[strspn(text, "0123456789")] == '\0';
	}
	return *text == '\0';
}

/* A whole number in this base; past 64 bits it becomes a real, as JSON readers do. */
static json_t *yaml_integer(const char *digits, int base)
{
	errno = 0;
	long long value = strtoll(digits, NULL, base);
	if (errno == 0)
		return json_integer(value);
	return json_real(base == 10 ? strtod(digits, NULL) : INFINITY); /* NULL when it is not finite */
}

/* NULL: a number that JSON cannot hold. */
static json_t *yaml_plain(const char *text)
{
	if (!*text || strcmp(text, "~") == 0 || yaml_is_word(text, "null", "Null", "NULL"))
		return json_null();
	if (yaml_is_word(text, "true", "True", "TRUE"))
		return json_true();
	if (yaml_is_word(text, "false", "False", "FALSE"))
		return json_false();
	if (yaml_is_int(text))
		return yaml_integer(text, 10);
	if (text[0] == '0' && text[1] == 'x' && text[2] && !text[2 + strspn(text + 2, "0123456789abcdefABCDEF")])
		return yaml_integer(text + 2, 16);
	if (text[0] == '0' && text[1] == 'o' && text[2] && !text[2 + strspn(text + 2, "01234567")])
		return yaml_integer(text + 2, 8);
	return yaml_is_float(text) ? json_real(strtod(text, NULL)) : json_string(text);
}

/* ---- the document ---- */

/* True when the event carries no anchor and no tag; both are refused. */
static bool yaml_is_bare(struct yaml_reader *r, const yaml_event_t *event, const yaml_char_t *anchor,
			 const yaml_char_t *tag)
{
	if (anchor)
		yaml_fail(r, event->start_mark.line, "write the value out where it is used",
			  "anchors are not supported (&%s)", (const char *)anchor);
	else if (tag && strncmp((const char *)tag, "tag:yaml.org,2002:", 18) == 0)
		yaml_fail(r, event->start_mark.line, "quote a number to make it text", "tags are not supported (!!%s)",
			  (const char *)tag + 18);
	else if (tag)
		yaml_fail(r, event->start_mark.line, "quote a number to make it text", "tags are not supported (%s)",
			  (const char *)tag);
	return !anchor && !tag;
}

static json_t *yaml_scalar(struct yaml_reader *r, const yaml_event_t *event)
{
	if (!yaml_is_bare(r, event, event->data.scalar.anchor, event->data.scalar.tag))
		return NULL;
	const char *text = (const char *)event->data.scalar.value;
	if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return json_stringn(text, event->data.scalar.length);
	json_t *value = yaml_plain(text);
	if (!value)
		yaml_fail(r, event->start_mark.line, "quote it to make it text", "the number %.40s is too large", text);
	return value;
}

/* Reads the value that follows, at r->path, which is taken back to base afterwards. line is that
 * of the key or of the item. */
static json_t *yaml_child(struct yaml_reader *r, const yaml_event_t *event, size_t base, int depth, size_t line)
{
	if (r->path.overflow) {
		yaml_fail(r, line, NULL, "the keys down to here are too long");
		return NULL;
	}
	if (r->wanted && !r->found && strcmp(buf_text(&r->path), r->wanted) == 0)
		r->found = (int)line + 1;
	json_t *value = yaml_node(r, event, depth + 1);
	r->path.len = base;
	if (r->path.data)
		r->path.data[base] = '\0';
	return value;
}

static json_t *yaml_list(struct yaml_reader *r, const yaml_event_t *start, int depth)
{
	if (!yaml_is_bare(r, start, start->data.sequence_start.anchor, start->data.sequence_start.tag))
		return NULL;
	json_auto_t *list = json_array();
	for (size_t base = r->path.len;;) {
		CLEANUP(event) yaml_event_t event = { 0 };
		if (!yaml_next(r, &event))
			return NULL;
		if (event.type == YAML_SEQUENCE_END_EVENT)
			return STEAL(list);
		buf_printf(&r->path, "[%zu]", json_array_size(list));
		json_t *item = yaml_child(r, &event, base, depth, event.start_mark.line);
		if (!item || json_array_append_new(list, item) != 0)
			return NULL;
	}
}

/* The key of the next pair of a mapping, checked; NULL and *end at the mapping's end. */
static bool yaml_key(struct yaml_reader *r, const yaml_event_t *event, const json_t *object)
{
	size_t line = event->start_mark.line;
	if (event->type != YAML_SCALAR_EVENT) {
		yaml_fail(r, line, NULL, "a key must be a word, not a list or a mapping");
		return false;
	}
	if (!yaml_is_bare(r, event, event->data.scalar.anchor, event->data.scalar.tag))
		return false;
	const char *key = (const char *)event->data.scalar.value;
	if (strlen(key) != event->data.scalar.length) {
		yaml_fail(r, line, NULL, "a key cannot contain a NUL");
		return false;
	}
	buf_printf(&r->path, "%s%s", r->path.len ? "." : "", key);
	if (json_object_get(object, key)) {
		yaml_fail(r, line, "remove one of them", "%s: given twice", buf_text(&r->path));
		return false;
	}
	return true;
}

static json_t *yaml_mapping(struct yaml_reader *r, const yaml_event_t *start, int depth)
{
	if (!yaml_is_bare(r, start, start->data.mapping_start.anchor, start->data.mapping_start.tag))
		return NULL;
	json_auto_t *object = json_object();
	for (size_t base = r->path.len;;) {
		CLEANUP(event) yaml_event_t key = { 0 };
		CLEANUP(event) yaml_event_t event = { 0 };
		if (!yaml_next(r, &key))
			return NULL;
		if (key.type == YAML_MAPPING_END_EVENT)
			return STEAL(object);
		if (!yaml_key(r, &key, object) || !yaml_next(r, &event))
			return NULL;
		json_t *value = yaml_child(r, &event, base, depth, key.start_mark.line);
		if (!value || json_object_set_new(object, (const char *)key.data.scalar.value, value) != 0)
			return NULL;
	}
}

static json_t *yaml_node(struct yaml_reader *r, const yaml_event_t *event, int depth)
{
	if (depth > YAML_MAX_DEPTH) {
		yaml_fail(r, event->start_mark.line, NULL, "nested more than %d deep", YAML_MAX_DEPTH);
		return NULL;
	}
	if (event->type == YAML_SCALAR_EVENT)
		return yaml_scalar(r, event);
	if (event->type == YAML_SEQUENCE_START_EVENT)
		return yaml_list(r, event, depth);
	if (event->type == YAML_MAPPING_START_EVENT)
		return yaml_mapping(r, event, depth);
	if (event->type == YAML_ALIAS_EVENT)
		yaml_fail(r, event->start_mark.line, "write the value out where it is used",
			  "aliases are not supported (*%s)", (const char *)event->data.alias.anchor);
	else
		yaml_fail(r, event->start_mark.line, NULL, "not valid YAML: a value is missing");
	return NULL;
}

/* The one document of the stream; JSON null for an empty one. */
static json_t *yaml_document(struct yaml_reader *r)
{
	json_auto_t *root = NULL;
	for (;;) {
		CLEANUP(event) yaml_event_t event = { 0 };
		if (!yaml_next(r, &event))
			return NULL;
		if (event.type == YAML_STREAM_END_EVENT)
			return root ? STEAL(root) : json_null();
		if (event.type == YAML_DOCUMENT_START_EVENT && root) {
			yaml_fail(r, event.start_mark.line, "put each document into a file of its own",
				  "more than one document");
			return NULL;
		}
		if (event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT ||
		    event.type == YAML_DOCUMENT_END_EVENT)
			continue;
		root = yaml_node(r, &event, 0);
		if (!root)
			return NULL;
	}
}

static json_t *yaml_read(struct yaml_reader *r, const char *text, size_t len)
{
	if (!yaml_parser_initialize(&r->parser))
		mem_exhausted();
	buf_init(&r->path, YAML_PATH_MAX);
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
	json_t *root = yaml_document(r);
	yaml_parser_delete(&r->parser);
	buf_done(&r->path);
	return root;
}

/* Line of a byte, from 0. */
static size_t yaml_line_at(const char *text, size_t at)
{
	size_t line = 0;
	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	return line;
}

static bool yaml_is_deep(const json_t *value, int depth)
{
	size_t i;
	const char *key;
	json_t *item;
	if (depth > YAML_MAX_DEPTH)
		return true;
	json_array_foreach((json_t *)value, i, item) if (yaml_is_deep(item, depth + 1)) return true;
	json_object_foreach((json_t *)value, key, item) if (yaml_is_deep(item, depth + 1)) return true;
	return false;
}

/* Text that begins like a JSON object or list, as such if it is one. */
static json_t *yaml_read_json(const char *text, size_t len)
{
	json_error_t at;
	size_t blank = 0;
	while (blank < len && (text[blank] == ' ' || text[blank] == '\t' || text[blank] == '\r' || text[blank] == '\n'))
		blank++;
	if (blank == len || (text[blank] != '{' && text[blank] != '['))
		return NULL;
	json_auto_t *value = json_read(text, len, JSON_REJECT_DUPLICATES, &at);
	return !value || yaml_is_deep(value, 0) ? NULL : STEAL(value);
}

json_t *yaml_decode(const char *text, size_t len, const char *origin, struct error *err)
{
	struct error ignored;
	struct yaml_reader r = { .origin = origin, .err = err ? err : &ignored };
	if (len > YAML_MAX_BYTES) {
		error_set(err, ERR_INPUT, NULL, "%s%sexpected at most %d bytes, got %zu", origin ? origin : "",
			  origin ? ": " : "", YAML_MAX_BYTES, len);
		return NULL;
	}
	size_t valid = utf8_valid_prefix(text, len);
	if (valid != len) {
		yaml_fail(&r, yaml_line_at(text, valid), "save the file as UTF-8", "not UTF-8 (byte 0x%02x)",
			  (unsigned char)text[valid]);
		return NULL;
	}
	json_t *json = yaml_read_json(text, len);
	return json ? json : yaml_read(&r, text, len);
}

int yaml_line_of(const char *text, size_t len, const char *path)
{
	struct error ignored;
	struct yaml_reader r = { .wanted = path, .err = &ignored };
	json_auto_t *root = yaml_read(&r, text, len);
	return r.found;
}
