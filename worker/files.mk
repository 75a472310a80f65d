worker_SOURCES := \
	worker/backend.c \
	worker/backend_command.c \
	worker/backend_tinygrad.c \
	worker/blank.c \
	worker/capacity.c \
	worker/checkpoint_restore.c \
	worker/checkpoints.c \
	worker/claims.c \
	worker/control.c \
	worker/descendants.c \
	worker/environment.c \
	worker/feed.c \
	worker/feed_send.c \
	worker/formats.c \
	worker/formats_folder.c \
	worker/formats_safetensors.c \
	worker/formats_torch.c \
	worker/helper.c \
	worker/identity.c \
	worker/lost.c \
	worker/manifest.c \
	worker/metric_lines.c \
	worker/names.c \
	worker/outcome.c \
	worker/output.c \
	worker/place.c \
	worker/prune.c \
	worker/removals.c \
	worker/restore.c \
	worker/run_folder.c \
	worker/run_record.c \
	worker/runner.c \
	worker/runner_lease.c \
	worker/runner_output.c \
	worker/runner_program.c \
	worker/runner_report.c \
	worker/runner_restore.c \
	worker/runner_ship.c \
	worker/runs.c \
	worker/settings.c \
	worker/ship.c \
	worker/slots.c \
	worker/spare.c \
	worker/spool.c \
	worker/tail.c \
	worker/units.c \
	worker/watch.c \
	worker/worker.c
# The trainer of the backend tinygrad: copied beside the program, installed under share/.
worker_TRAINER := \
	worker/trainer/checkpoint.py \
	worker/trainer/control.py \
	worker/trainer/data.py \
	worker/trainer/loop.py \
	worker/trainer/models.py \
	worker/trainer/train.py
