/* What the formats share. A row's `is` looks at little, its `check` at everything that can be proved without
 * reading the tensors. */
#ifndef STOKER_WORKER_FORMATS_INTERNAL_H
#define STOKER_WORKER_FORMATS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "worker/formats.h"
#include "worker/listing.h"
#include "worker/pickle.h"

/* ---- files ---- */
struct format_file {
	int fd;
	const char *path;
	int64_t size;
	unsigned char start[16]; /* its first bytes; zeros where it is shorter */
	struct checksums *sums;
};

struct format_file_row {
	const char *name;
	bool (*is)(const struct format_file *file);
	struct format_verdict (*check)(const struct format_file *file);
};

extern const struct format_file_row format_row_safetensors, format_row_numpy, format_row_zip, format_row_torch_legacy;

bool format_has_suffix(const char *path, const char *suffix);
/* All of len bytes at `at`. */
bool format_read(int fd, void *into, size_t len, int64_t at);
/* Whether something between `from` and the end was never written: a writer that sets the size first. */
bool format_has_hole(const struct format_file *file, int64_t from);

/* What the pickle of a torch file says; false: it is none, or its pickle cannot be read. */
bool format_torch_facts(int fd, int64_t size, struct pickle_facts *facts);

/* ---- folders ---- */
struct format_folder {
	struct listing list;
	struct checksums *sums;
	int depth; /* 0: the checkpoint itself; more: a folder in it */
};

struct format_folder_row {
	const char *name;
	bool (*is)(const struct format_folder *folder);
	struct format_verdict (*check)(const struct format_folder *folder);
};

extern const struct format_folder_row format_row_orbax, format_row_huggingface, format_row_dcp, format_row_megatron,
	format_row_deepspeed;

/* "<name> <why>" */
struct format_verdict format_torn(const char *framework, const char *why, const char *name);
/* What is directly in it, and below, each by its own format: the weakest proof of all. It never is more than sound:
 * no file says that it is the last. */
struct format_verdict format_sum(const struct format_folder *folder);
/* Whether nothing in it was written after that file. A folder that is saved over again still holds the file that the
 * save before wrote last. */
bool format_is_last(const struct format_folder *folder, const char *name);
/* Whatever in it has a format of its own must be right; the rest does not speak against it, nor do names that match
 * `except` (NULL: none). */
bool format_parts_are_right(const struct format_folder *folder, const char *except, struct format_verdict *torn);

#endif
