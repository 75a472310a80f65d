worker_SOURCES := \
	worker/backend_tinygrad.c \
	worker/checkpoint_restore.c \
	worker/checkpoints.c \
	worker/formats.c \
	worker/formats_folder.c \
	worker/formats_safetensors.c \
	worker/formats_torch.c \
	worker/helper.c \
	worker/manifest.c \
	worker/names.c \
	worker/place.c \
	worker/restore.c \
	worker/ship.c \
	worker/units.c \
	worker/watch.c

# The trainer of the backend tinygrad: copied beside the program, installed under share/.
worker_TRAINER := \
	worker/trainer/checkpoint.py \
	worker/trainer/control.py \
	worker/trainer/data.py \
	worker/trainer/loop.py \
	worker/trainer/models.py \
	worker/trainer/train.py
