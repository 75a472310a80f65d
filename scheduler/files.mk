scheduler_SOURCES := \
	scheduler/explain.c \
	scheduler/explain_queued.c \
	scheduler/fields.c
