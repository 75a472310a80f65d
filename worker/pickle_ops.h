/* The opcodes of pickle, protocols 0 to 5: what follows each of them, and what it does to the stack. */
#ifndef STOKER_WORKER_PICKLE_OPS_H
#define STOKER_WORKER_PICKLE_OPS_H

#include <stdbool.h>
#include "worker/pickle_boxes.h"

enum pickle_arg_kind {
	ARG_NONE,
	ARG_SKIP,      /* bytes that do not matter */
	ARG_NUMBER,    /* unsigned, of so many bytes */
	ARG_LONG,      /* signed, of so many bytes */
	ARG_LONG_OF,   /* a length of so many bytes, then a signed number */
	ARG_TEXT_OF,   /* the same with a text */
	ARG_LINE,      /* a text up to the end of the line */
	ARG_TWO_LINES, /* of which the second counts */
};

enum pickle_act {
	ACT_NOTHING,
	ACT_PUSH,
	ACT_PUSH_OVER_MARK,
	ACT_NUMBER,
	ACT_LINE_NUMBER,
	ACT_NAMED, /* a text or a class */
	ACT_QUOTED,
	ACT_BOX,
	ACT_SET,
	ACT_SETS,
	ACT_APPEND,
	ACT_APPENDS,
	ACT_DICT,
	ACT_LIST,
	ACT_REDUCE,
	ACT_BUILD,
	ACT_STACK_GLOBAL,
	ACT_POP,
	ACT_POP_MARK,
	ACT_DUP,
	ACT_PUT,
	ACT_LINE_PUT,
	ACT_MEMOIZE,
	ACT_GET,
	ACT_LINE_GET,
	ACT_STOP,
};

struct pickle_op {
	bool is_known;
	enum pickle_arg_kind arg;
	unsigned char bytes; /* of the argument */
	enum pickle_act act;
	enum pickle_kind kind; /* of what is pushed */
	unsigned char pops;    /* how much is taken for it */
};

extern const struct pickle_op pickle_ops[256];

#endif
