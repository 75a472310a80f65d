lib_SOURCES := \
	lib/beneath.c \
	lib/buf.c \
	lib/child.c \
	lib/child_watch.c \
	lib/clock.c \
	lib/config.c \
	lib/config_print.c \
	lib/config_values.c \
	lib/digest.c \
	lib/error.c \
	lib/http_guard.c \
	lib/http_listen.c \
	lib/http_reply.c \
	lib/http_server.c \
	lib/json.c \
	lib/log.c \
	lib/nearest.c \
	lib/proc.c \
	lib/ready.c \
	lib/signals.c \
	lib/store.c \
	lib/store_file.c \
	lib/tarball.c \
	lib/tarball_read.c \
	lib/tarball_write.c \
	lib/utf8.c \
	lib/yaml.c
