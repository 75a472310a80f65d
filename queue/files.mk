queue_SOURCES = \
	$(queue_TABLES) \
	queue/spec.c \
	queue/spec_check.c \
	queue/spec_decode.c

# The tables that both C and the function library are made from.
queue_TABLES := \
	queue/spec_grammar.c \
	queue/spec_print.c \
	queue/spec_table.c \
	queue/state.c
