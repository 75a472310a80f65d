#include "worker/pickle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "worker/pickle_boxes.h"
#include "worker/pickle_ops.h"

#define WINDOW_BYTES (64 * 1024)
#define OPCODES_MAX  (16 * 1024 * 1024)
#define STACK_MAX    (1024 * 1024)
#define MEMO_MAX     (1024 * 1024)

struct pickle_values {
	struct pickle_value *items;
	size_t count, room;
};

struct pickle {
	int fd;
	int64_t at, end; /* of what is not in the window yet */
	unsigned char *window;
	size_t pos, len;
	struct pickle_values stack, memo;
	struct pickle_boxes boxes;
	enum pickle_state state; /* why it stopped */
};

struct pickle_arg { /* what follows an opcode */
	int64_t number;
	char text[PICKLE_KEY_MAX];
	size_t len; /* of the text; more than fits: nothing that matters */
};

static bool pickle_stop(struct pickle *p, enum pickle_state state)
{
	p->state = state;
	return false;
}

/* ---- reading ---- */

static bool pickle_fill(struct pickle *p)
{
	int64_t want = p->end - p->at < WINDOW_BYTES ? p->end - p->at : WINDOW_BYTES;
	ssize_t got;
	do
		got = want > 0 ? pread(p->fd, p->window, (size_t)want, p->at) : 0;
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return pickle_stop(p, PICKLE_TORN);
	p->at += got;
	p->pos = 0;
	p->len = (size_t)got;
	return true;
}

static bool pickle_byte(struct pickle *p, unsigned char *byte)
{
	if (p->pos == p->len && !pickle_fill(p))
		return false;
	*byte = p->window[p->pos++];
	return true;
}

static bool pickle_skip(struct pickle *p, uint64_t count)
{
	uint64_t here = p->len - p->pos;
	if (count <= here) {
		p->pos += count;
		return true;
	}
	if (count - here > (uint64_t)(p->end - p->at))
		return pickle_stop(p, PICKLE_TORN);
	p->at += (int64_t)(count - here);
	p->pos = p->len = 0;
	return true;
}

static bool pickle_number(struct pickle *p, int bytes, uint64_t *number)
{
	unsigned char byte;
	*number = 0;
	for (int i = 0; i < bytes; i++) {
		if (!pickle_byte(p, &byte))
			return false;
		*number |= (uint64_t)byte << (8 * i);
	}
	return true;
}

/* Only what could be a key is kept of a text. */
static bool pickle_text(struct pickle *p, uint64_t len, struct pickle_arg *arg)
{
	arg->len = len > sizeof arg->text ? sizeof arg->text + 1 : (size_t)len;
	if (len > sizeof arg->text)
		return pickle_skip(p, len);
	for (size_t i = 0; i < arg->len; i++)
		if (!pickle_byte(p, (unsigned char *)&arg->text[i]))
			return false;
	return true;
}

static bool pickle_line(struct pickle *p, struct pickle_arg *arg)
{
	unsigned char byte;
	for (arg->len = 0;;) {
		if (!pickle_byte(p, &byte))
			return false;
		if (byte == '\n')
			return true;
		if (arg->len < sizeof arg->text)
			arg->text[arg->len] = (char)byte;
		arg->len += arg->len <= sizeof arg->text;
	}
}

/* Little-endian, two's complement; one of more than eight bytes is no count of steps. */
static bool pickle_long(struct pickle *p, uint64_t len, struct pickle_arg *arg)
{
	uint64_t number;
	if (len > 8) {
		arg->number = -1;
		return pickle_skip(p, len);
	}
	if (!pickle_number(p, (int)len, &number))
		return false;
	if (len > 0 && len < 8 && number >> (8 * len - 1))
		number |= UINT64_MAX << (8 * len);
	arg->number = (int64_t)number;
	return true;
}

static bool pickle_read_arg(struct pickle *p, const struct pickle_op *op, struct pickle_arg *arg)
{
	uint64_t len = 0;
	*arg = (struct pickle_arg){ .number = 0 };
	switch (op->arg) {
	case ARG_NONE:
		return true;
	case ARG_SKIP:
		return pickle_skip(p, op->bytes);
	case ARG_NUMBER:
		return pickle_number(p, op->bytes, &len) && ((arg->number = (int64_t)len), true);
	case ARG_LONG_OF:
		return pickle_number(p, op->bytes, &len) && pickle_long(p, len, arg);
	case ARG_LONG:
		return pickle_long(p, op->bytes, arg);
	case ARG_TEXT_OF:
		return pickle_number(p, op->bytes, &len) && pickle_text(p, len, arg);
	case ARG_TWO_LINES:
		return pickle_line(p, arg) && pickle_line(p, arg);
	case ARG_LINE:
		return pickle_line(p, arg);
	}
	return pickle_stop(p, PICKLE_STRANGE);
}

/* Protocol 0 writes numbers as text: "12", "12L". */
static int64_t pickle_line_number(const struct pickle_arg *arg)
{
	int64_t value = 0;
	size_t len = arg->len;
	if (len == 0 || len > 18)
		return -1;
	len -= arg->text[len - 1] == 'L';
	for (size_t i = 0; i < len; i++) {
		if (arg->text[i] < '0' || arg->text[i] > '9')
			return -1;
		value = value * 10 + (arg->text[i] - '0');
	}
	return value;
}

/* ---- the stack and the memo ---- */

static bool pickle_add(struct pickle *p, struct pickle_values *to, size_t max, struct pickle_value value)
{
	if (to->count == max)
		return pickle_stop(p, PICKLE_STRANGE);
	if (to->count == to->room) {
		to->room = to->room ? to->room * 2 : 64;
		to->items = mem_realloc(to->items, to->room * sizeof *to->items);
	}
	to->items[to->count++] = value;
	return true;
}

static bool pickle_push(struct pickle *p, struct pickle_value value)
{
	return pickle_add(p, &p->stack, STACK_MAX, value);
}

static bool pickle_push_kind(struct pickle *p, enum pickle_kind kind)
{
	return pickle_push(p, (struct pickle_value){ .kind = kind });
}

static bool pickle_push_box(struct pickle *p, bool is_object)
{
	struct pickle_value value;
	return pickle_box_new(&p->boxes, is_object, &value) ? pickle_push(p, value) : pickle_stop(p, PICKLE_STRANGE);
}

static bool pickle_pop(struct pickle *p, size_t count)
{
	if (p->stack.count < count)
		return pickle_stop(p, PICKLE_STRANGE);
	p->stack.count -= count;
	return true;
}

/* Takes everything down to the mark, and the mark; the values stay readable at *values until the next push. */
static bool pickle_pop_mark(struct pickle *p, const struct pickle_value **values, size_t *count)
{
	size_t at = p->stack.count;
	while (at > 0 && p->stack.items[at - 1].kind != KIND_MARK)
		at--;
	if (at == 0)
		return pickle_stop(p, PICKLE_STRANGE);
	*values = p->stack.items + at;
	*count = p->stack.count - at;
	p->stack.count = at - 1;
	return true;
}

/* The n-th value from above. */
static struct pickle_value *pickle_top(struct pickle *p, size_t n)
{
	if (p->stack.count > n)
		return &p->stack.items[p->stack.count - 1 - n];
	pickle_stop(p, PICKLE_STRANGE);
	return NULL;
}

/* Python numbers what it remembers from 0: another order is one that nobody writes, and is not followed. */
static bool pickle_remember(struct pickle *p, int64_t index)
{
	const struct pickle_value *top = pickle_top(p, 0);
	if (!top)
		return false;
	if (index >= 0 && (size_t)index < p->memo.count)
		p->memo.items[index] = *top;
	else if (index >= 0 && (size_t)index == p->memo.count)
		return pickle_add(p, &p->memo, MEMO_MAX, *top);
	else
		return pickle_stop(p, PICKLE_STRANGE);
	return true;
}

static bool pickle_recall(struct pickle *p, int64_t index)
{
	if (index < 0 || (size_t)index >= p->memo.count)
		return pickle_stop(p, PICKLE_STRANGE);
	return pickle_push(p, p->memo.items[index]);
}

/* ---- what the opcodes do ---- */

static bool pickle_fill_box(struct pickle *p, enum pickle_act act)
{
	const struct pickle_value *values;
	size_t count;
	if (act == ACT_SET || act == ACT_APPEND) {
		size_t taken = act == ACT_SET ? 2 : 1;
		if (!pickle_pop(p, taken))
			return false;
		values = p->stack.items + p->stack.count;
		count = taken;
	} else if (!pickle_pop_mark(p, &values, &count)) {
		return false;
	}
	if (act == ACT_DICT || act == ACT_LIST) { /* made of what lies there: the values are above its place */
		struct pickle_value made;
		if (!pickle_box_new(&p->boxes, false, &made))
			return pickle_stop(p, PICKLE_STRANGE);
		p->stack.items[p->stack.count++] = made; /* where the mark was */
	}
	const struct pickle_value *into = pickle_top(p, 0);
	if (!into)
		return false;
	bool is_dict = act == ACT_SET || act == ACT_SETS || act == ACT_DICT;
	for (size_t i = 0; is_dict ? i + 1 < count : i < count; i += is_dict ? 2 : 1) {
		if (is_dict)
			pickle_box_put(&p->boxes, *into, values[i], values[i + 1]);
		else
			pickle_box_append(&p->boxes, *into, values[i]);
	}
	return true;
}

/* A call: only the classes of dicts are known by name. */
static bool pickle_reduce(struct pickle *p)
{
	const struct pickle_value *callee = pickle_top(p, 1);
	if (!callee)
		return false;
	bool is_dict = callee->kind == KIND_CLASS && callee->key == KEY_DICT_CLASS;
	return pickle_pop(p, 2) && (is_dict ? pickle_push_box(p, false) : pickle_push_kind(p, KIND_OBJECT));
}

/* The state of an object goes into it. */
static bool pickle_build(struct pickle *p)
{
	const struct pickle_value *state = pickle_top(p, 0), *object = pickle_top(p, 1);
	if (!state || !object)
		return false;
	if (state->kind == KIND_BOX || state->kind == KIND_OBJECT)
		pickle_box_append(&p->boxes, *object, (struct pickle_value){ .kind = KIND_OBJECT });
	return pickle_pop(p, 1);
}

static bool pickle_push_named(struct pickle *p, enum pickle_kind kind, const struct pickle_arg *arg, bool is_quoted)
{
	struct pickle_value value = { .kind = kind };
	size_t quotes = is_quoted && arg->len >= 2 ? 1 : 0;
	if (arg->len <= sizeof arg->text)
		value.key = pickle_key_of(arg->text + quotes, arg->len - 2 * quotes);
	return pickle_push(p, value);
}

static bool pickle_stack_global(struct pickle *p)
{
	const struct pickle_value *name = pickle_top(p, 0);
	struct pickle_value made = { .kind = KIND_CLASS, .key = name ? name->key : KEY_NONE };
	return pickle_pop(p, 2) && pickle_push(p, made);
}

static bool pickle_act(struct pickle *p, const struct pickle_op *op, const struct pickle_arg *arg)
{
	const struct pickle_value *values;
	size_t count;
	switch (op->act) {
	case ACT_NOTHING:
		return true;
	case ACT_PUSH: /* what it was made of is taken first */
		return pickle_pop(p, op->pops) && pickle_push_kind(p, op->kind);
	case ACT_PUSH_OVER_MARK:
		return pickle_pop_mark(p, &values, &count) && pickle_push_kind(p, op->kind);
	case ACT_NUMBER:
		return pickle_push(p, (struct pickle_value){ .kind = KIND_NUMBER, .number = arg->number });
	case ACT_LINE_NUMBER:
		return pickle_push(p, (struct pickle_value){ .kind = KIND_NUMBER, .number = pickle_line_number(arg) });
	case ACT_NAMED:
		return pickle_push_named(p, op->kind, arg, false);
	case ACT_QUOTED:
		return pickle_push_named(p, op->kind, arg, true);
	case ACT_BOX:
		return pickle_pop(p, op->pops) && pickle_push_box(p, op->pops > 0);
	case ACT_SET:
	case ACT_SETS:
	case ACT_APPEND:
	case ACT_APPENDS:
	case ACT_DICT:
	case ACT_LIST:
		return pickle_fill_box(p, op->act);
	case ACT_REDUCE:
		return pickle_reduce(p);
	case ACT_BUILD:
		return pickle_build(p);
	case ACT_STACK_GLOBAL:
		return pickle_stack_global(p);
	case ACT_POP:
		return pickle_pop(p, 1);
	case ACT_POP_MARK:
		return pickle_pop_mark(p, &values, &count);
	case ACT_DUP:
		return pickle_top(p, 0) && pickle_push(p, *pickle_top(p, 0));
	case ACT_PUT:
		return pickle_remember(p, arg->number);
	case ACT_LINE_PUT:
		return pickle_remember(p, pickle_line_number(arg));
	case ACT_MEMOIZE:
		return pickle_remember(p, (int64_t)p->memo.count);
	case ACT_GET:
		return pickle_recall(p, arg->number);
	case ACT_LINE_GET:
		return pickle_recall(p, pickle_line_number(arg));
	case ACT_STOP:
		return pickle_stop(p, PICKLE_READ);
	}
	return pickle_stop(p, PICKLE_STRANGE);
}

/* Until something stops it; p->state says what. */
static void pickle_run(struct pickle *p)
{
	unsigned char code;
	struct pickle_arg arg;
	for (int64_t done = 0; pickle_byte(p, &code); done++) {
		const struct pickle_op *op = &pickle_ops[code];
		if (!op->is_known || done == OPCODES_MAX) {
			pickle_stop(p, PICKLE_STRANGE);
			return;
		}
		if (!pickle_read_arg(p, op, &arg) || !pickle_act(p, op, &arg))
			return;
	}
}

struct pickle_facts pickle_scan(int fd, int64_t at, int64_t len)
{
	CLEANUP(free_p) unsigned char *window = mem_alloc(WINDOW_BYTES);
	struct pickle p = { .fd = fd, .at = at, .end = at + len, .window = window };
	struct pickle_facts facts = { .step = -1, .epoch = -1, .data_ranks = -1, .model_ranks = -1, .optimizer = -1 };
	pickle_run(&p);
	if (p.state == PICKLE_READ && p.stack.count == 0)
		p.state = PICKLE_STRANGE;
	facts.state = p.state;
	if (p.state == PICKLE_READ) {
		facts.end = p.at - (int64_t)(p.len - p.pos);
		pickle_box_tell(&p.boxes, p.stack.items[p.stack.count - 1], &facts);
	}
	free(p.stack.items);
	free(p.memo.items);
	free(p.boxes.items);
	return facts;
}
