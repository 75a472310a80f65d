queue_SOURCES := \
	$(queue_TABLES)

# The tables that both C and the function library are made from.
queue_TABLES := \
	queue/spec_grammar.c \
	queue/spec_print.c \
	queue/spec_table.c
