scheduler_SOURCES := \
	scheduler/api.c \
	scheduler/api_bulk.c \
	scheduler/api_change.c \
	scheduler/api_control.c \
	scheduler/api_each.c \
	scheduler/api_gather.c \
	scheduler/api_health.c \
	scheduler/api_list.c \
	scheduler/api_queues.c \
	scheduler/api_show.c \
	scheduler/api_streams.c \
	scheduler/api_submitters.c \
	scheduler/api_webhooks.c \
	scheduler/bell.c \
	scheduler/doctor.c \
	scheduler/explain.c \
	scheduler/explain_queued.c \
	scheduler/follow.c \
	scheduler/follow_channels.c \
	scheduler/follow_lines.c \
	scheduler/points.c \
	scheduler/scheduler.c \
	scheduler/settings.c \
	scheduler/ticker.c \
	scheduler/webhook_sign.c \
	scheduler/webhooks.c
