/* ZIP files as frameworks write them, made by libarchive. */
#ifndef STOKER_TESTS_UNIT_ZIPS_H
#define STOKER_TESTS_UNIT_ZIPS_H

#include <stddef.h>

/* pickle.dumps({"model": 1.0, "step": 5}) and the same with an optimizer's state, {"state": {0: {"m": 1.0}},
 * "param_groups": [0]}. */
#define PICKLE_WEIGHTS "\200\002}q\000(X\005\000\000\000modelG?\360\000\000\000\000\000\000X\004\000\000\000stepK\005u."
#define PICKLE_ALL                                                                                                     \
	"\200\002}q\000(X\005\000\000\000modelG?"                                                                      \
	"\360\000\000\000\000\000\000X\004\000\000\000stepK\005X\011\000\000\000"                                      \
	"optimizer}(X\005\000\000\000state}K\000}X\001\000\000\000mG?\360\000\000\000\000\000\000ssX\014\000\000\000"  \
	"param_groups]K\000auu."

struct zip_part {
	const char *name;
	const char *data;
	size_t len;
};

/* options: libarchive's, such as "compression=store". */
void zip_make(const char *folder, const char *name, const struct zip_part *parts, size_t count, const char *options);

/* As torch.save writes it: the entries are stored, data.pkl is pickle (a literal), data/0 is 16 bytes. */
#define torch_make(folder, name, pickle) torch_make_with(folder, name, pickle, sizeof(pickle) - 1, "compression=store")
void torch_make_with(const char *folder, const char *name, const char *pickle, size_t len, const char *options);

#endif
