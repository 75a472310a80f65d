#include "worker/pickle_ops.h"

#define OP(...)                                                                                                        \
	{                                                                                                              \
		.is_known = true, __VA_ARGS__                                                                          \
	}

const struct pickle_op pickle_ops[256] = {
	/* the frame */
	[0x80] = OP(.arg = ARG_SKIP, .bytes = 1), /* PROTO */
	[0x95] = OP(.arg = ARG_SKIP, .bytes = 8), /* FRAME */
	['.'] = OP(.act = ACT_STOP),
	/* the stack and the memo */
	['('] = OP(.act = ACT_PUSH, .kind = KIND_MARK),
	['0'] = OP(.act = ACT_POP),
	['1'] = OP(.act = ACT_POP_MARK),
	['2'] = OP(.act = ACT_DUP),
	['p'] = OP(.arg = ARG_LINE, .act = ACT_LINE_PUT),
	['q'] = OP(.arg = ARG_NUMBER, .bytes = 1, .act = ACT_PUT),
	['r'] = OP(.arg = ARG_NUMBER, .bytes = 4, .act = ACT_PUT),
	[0x94] = OP(.act = ACT_MEMOIZE),
	['g'] = OP(.arg = ARG_LINE, .act = ACT_LINE_GET),
	['h'] = OP(.arg = ARG_NUMBER, .bytes = 1, .act = ACT_GET),
	['j'] = OP(.arg = ARG_NUMBER, .bytes = 4, .act = ACT_GET),
	/* numbers */
	['I'] = OP(.arg = ARG_LINE, .act = ACT_LINE_NUMBER),
	['L'] = OP(.arg = ARG_LINE, .act = ACT_LINE_NUMBER),
	['K'] = OP(.arg = ARG_NUMBER, .bytes = 1, .act = ACT_NUMBER),
	['M'] = OP(.arg = ARG_NUMBER, .bytes = 2, .act = ACT_NUMBER),
	['J'] = OP(.arg = ARG_LONG, .bytes = 4, .act = ACT_NUMBER),
	[0x8a] = OP(.arg = ARG_LONG_OF, .bytes = 1, .act = ACT_NUMBER),
	[0x8b] = OP(.arg = ARG_LONG_OF, .bytes = 4, .act = ACT_NUMBER),
	/* texts */
	['S'] = OP(.arg = ARG_LINE, .act = ACT_QUOTED, .kind = KIND_TEXT),
	['V'] = OP(.arg = ARG_LINE, .act = ACT_NAMED, .kind = KIND_TEXT),
	['T'] = OP(.arg = ARG_TEXT_OF, .bytes = 4, .act = ACT_NAMED, .kind = KIND_TEXT),
	['U'] = OP(.arg = ARG_TEXT_OF, .bytes = 1, .act = ACT_NAMED, .kind = KIND_TEXT),
	['X'] = OP(.arg = ARG_TEXT_OF, .bytes = 4, .act = ACT_NAMED, .kind = KIND_TEXT),
	[0x8c] = OP(.arg = ARG_TEXT_OF, .bytes = 1, .act = ACT_NAMED, .kind = KIND_TEXT),
	[0x8d] = OP(.arg = ARG_TEXT_OF, .bytes = 8, .act = ACT_NAMED, .kind = KIND_TEXT),
	/* what is neither empty nor says anything */
	['N'] = OP(.act = ACT_PUSH, .kind = KIND_PLAIN),
	[0x88] = OP(.act = ACT_PUSH, .kind = KIND_PLAIN),
	[0x89] = OP(.act = ACT_PUSH, .kind = KIND_PLAIN),
	['F'] = OP(.arg = ARG_LINE, .act = ACT_PUSH, .kind = KIND_PLAIN),
	['G'] = OP(.arg = ARG_SKIP, .bytes = 8, .act = ACT_PUSH, .kind = KIND_PLAIN),
	['B'] = OP(.arg = ARG_TEXT_OF, .bytes = 4, .act = ACT_PUSH, .kind = KIND_PLAIN),
	['C'] = OP(.arg = ARG_TEXT_OF, .bytes = 1, .act = ACT_PUSH, .kind = KIND_PLAIN),
	[0x8e] = OP(.arg = ARG_TEXT_OF, .bytes = 8, .act = ACT_PUSH, .kind = KIND_PLAIN),
	[0x96] = OP(.arg = ARG_TEXT_OF, .bytes = 8, .act = ACT_PUSH, .kind = KIND_PLAIN),
	[0x97] = OP(.act = ACT_PUSH, .kind = KIND_PLAIN), /* NEXT_BUFFER */
	[0x98] = OP(.act = ACT_NOTHING),                  /* READONLY_BUFFER */
	/* dicts and lists */
	['}'] = OP(.act = ACT_BOX),
	[']'] = OP(.act = ACT_BOX),
	['d'] = OP(.act = ACT_DICT),
	['l'] = OP(.act = ACT_LIST),
	['s'] = OP(.act = ACT_SET),
	['u'] = OP(.act = ACT_SETS),
	['a'] = OP(.act = ACT_APPEND),
	['e'] = OP(.act = ACT_APPENDS),
	/* tuples and sets */
	[')'] = OP(.act = ACT_PUSH, .kind = KIND_PLAIN),
	['t'] = OP(.act = ACT_PUSH_OVER_MARK, .kind = KIND_OBJECT),
	[0x85] = OP(.act = ACT_PUSH, .kind = KIND_OBJECT, .pops = 1),
	[0x86] = OP(.act = ACT_PUSH, .kind = KIND_OBJECT, .pops = 2),
	[0x87] = OP(.act = ACT_PUSH, .kind = KIND_OBJECT, .pops = 3),
	[0x8f] = OP(.act = ACT_PUSH, .kind = KIND_PLAIN),
	[0x90] = OP(.act = ACT_POP_MARK),
	[0x91] = OP(.act = ACT_PUSH_OVER_MARK, .kind = KIND_OBJECT),
	/* classes and objects */
	['c'] = OP(.arg = ARG_TWO_LINES, .act = ACT_NAMED, .kind = KIND_CLASS),
	[0x93] = OP(.act = ACT_STACK_GLOBAL),
	['R'] = OP(.act = ACT_REDUCE),
	['b'] = OP(.act = ACT_BUILD),
	[0x81] = OP(.act = ACT_BOX, .pops = 2), /* NEWOBJ: it may be a kind of dict */
	[0x92] = OP(.act = ACT_BOX, .pops = 3),
	['i'] = OP(.arg = ARG_TWO_LINES, .act = ACT_PUSH_OVER_MARK, .kind = KIND_OBJECT),
	['o'] = OP(.act = ACT_PUSH_OVER_MARK, .kind = KIND_OBJECT),
	['P'] = OP(.arg = ARG_LINE, .act = ACT_PUSH, .kind = KIND_OBJECT),
	['Q'] = OP(.act = ACT_PUSH, .kind = KIND_OBJECT, .pops = 1),
	[0x82] = OP(.arg = ARG_SKIP, .bytes = 1, .act = ACT_PUSH, .kind = KIND_OBJECT),
	[0x83] = OP(.arg = ARG_SKIP, .bytes = 2, .act = ACT_PUSH, .kind = KIND_OBJECT),
	[0x84] = OP(.arg = ARG_SKIP, .bytes = 4, .act = ACT_PUSH, .kind = KIND_OBJECT),
};
