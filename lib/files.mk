lib_SOURCES := \
	lib/buf.c \
	lib/clock.c \
	lib/error.c \
	lib/log.c
