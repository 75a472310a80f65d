scheduler_SOURCES := \
	scheduler/api.c \
	scheduler/api_bulk.c \
	scheduler/api_batch.c \
	scheduler/api_change.c \
	scheduler/api_control.c \
	scheduler/api_each.c \
	scheduler/api_gather.c \
	scheduler/api_graph.c \
	scheduler/api_health.c \
	scheduler/api_list.c \
	scheduler/api_queues.c \
	scheduler/api_schedules.c \
	scheduler/api_show.c \
	scheduler/api_streams.c \
	scheduler/doctor.c \
	scheduler/explain.c \
	scheduler/explain_parents.c \
	scheduler/explain_queued.c \
	scheduler/follow.c \
	scheduler/follow_channels.c \
	scheduler/follow_lines.c \
	scheduler/points.c \
	scheduler/schedules.c \
	scheduler/post.c \
	scheduler/scheduler.c \
	scheduler/settings.c \
	scheduler/ticker.c
