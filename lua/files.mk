# In this order they make one library, after lua/prelude.lua and the tables printed from C.
lua_SOURCES := \
	lua/event.lua \
	lua/job.lua \
	lua/class.lua \
	lua/lane.lua \
	lua/nearest.lua \
	lua/spec_walk.lua \
	lua/spec_text.lua \
	lua/spec.lua \
	lua/move.lua \
	lua/checkpoints.lua \
	lua/recovery.lua \
	lua/attempt.lua \
	lua/create.lua \
	lua/delivery.lua \
	lua/webhook.lua \
	lua/submit.lua \
	lua/inbox.lua \
	lua/worker.lua \
	lua/claim.lua \
	lua/renew.lua \
	lua/log.lua \
	lua/metric.lua \
	lua/checkpoint.lua \
	lua/finish.lua \
	lua/adopt.lua \
	lua/cancel.lua \
	lua/corrupt.lua \
	lua/retry.lua \
	lua/promote.lua \
	lua/reap.lua \
	lua/prune.lua \
	lua/show.lua \
	lua/list.lua \
	lua/stats.lua
