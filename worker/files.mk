worker_SOURCES := \
	worker/formats.c \
	worker/formats_folder.c \
	worker/formats_safetensors.c \
	worker/formats_torch.c \
	worker/names.c
