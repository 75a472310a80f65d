queue_SOURCES := \
	$(queue_TABLES)

# The tables that both C and the function library are made from.
queue_TABLES :=
