/*
 * DeepSpeed: <tag>/ (global_step<n>/) for each save, in it a file of each rank, and beside it `latest`, which names the
 * tag to load: without it nothing is loaded, and the training begins anew without a word. So both belong together.
 *
 * Each rank writes its own files; the one that writes `latest` does not wait for the others. So it proves nothing as
 * long as one of them is missing: how many there have to be the weights say (dp_world_size, mp_world_size).
 */
#include "worker/formats_internal.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "worker/names.h"
#include "worker/pickle.h"

#define WEIGHTS   "*mp_rank_[0-9]*_model_states.pt"
#define OPTIMIZER "*zero_pp_rank_[0-9]*_mp_rank_[0-9]*_optim_states.pt"
#define OWN_TAG   "global_step" /* DeepSpeed's, when the program gives none; it is named then */
#define RANKS_MAX 1000000
#define TAG_MAX   256

static int64_t deepspeed_count(const struct listing *list, const char *pattern)
{
	int64_t count = 0;
	for (size_t i = 0; i < list->count; i++)
		count += fnmatch(pattern, list->names[i], 0) == 0;
	return count;
}

enum deepspeed_ranks { RANKS_UNKNOWN, RANKS_MISSING, RANKS_ALL };

/* With ZeRO each rank has a share of the optimizer, and writes it last; without it only the slices of the model have
 * files. */
static enum deepspeed_ranks deepspeed_ranks(const struct listing *list)
{
	const char *weights = listing_find(list, WEIGHTS);
	CLEANUP(free_p) char *path = listing_path(list, weights ? weights : "");
	CLEANUP(close_fd) int fd = weights ? beneath_open(list->root, path, O_RDONLY | O_NONBLOCK, 0) : -1;
	struct pickle_facts facts;
	if (fd < 0 || !format_torch_facts(fd, listing_size(list, weights), &facts) || facts.data_ranks < 1 ||
	    facts.model_ranks < 1 || facts.data_ranks > RANKS_MAX || facts.model_ranks > RANKS_MAX)
		return RANKS_UNKNOWN;
	int64_t shares = deepspeed_count(list, OPTIMIZER);
	bool is_all = shares > 0 ? shares >= facts.data_ranks * facts.model_ranks
				 : deepspeed_count(list, WEIGHTS) >= facts.model_ranks;
	return is_all ? RANKS_ALL : RANKS_MISSING;
}

/* Of two tags that count the same: whether `a` is of an earlier save. */
static bool deepspeed_is_before(const char *a, const char *b)
{
	struct name_info x = name_parse(a), y = name_parse(b);
	return (x.step >= 0 && y.step > x.step) || (x.step < 0 && y.step < 0 && x.epoch >= 0 && y.epoch > x.epoch);
}

/* What the ranks' files prove, and then what `latest` (a path) says of them. */
static struct format_verdict deepspeed_look(const struct format_folder *folder, const char *latest)
{
	const struct listing *list = &folder->list;
	const char *own = listing_name(list);
	char named[TAG_MAX] = "";
	bool is_there = listing_line(list, latest, named, sizeof named), is_named = strcmp(named, own) == 0;
	struct format_verdict verdict = format_sum(folder);
	if (verdict.proof == FORMAT_TORN)
		return verdict;
	enum deepspeed_ranks ranks = deepspeed_ranks(list);
	if (ranks == RANKS_MISSING)
		return format_torn("deepspeed", "of some ranks are not there yet", "the files");
	if (is_there ? deepspeed_is_before(named, own) : strncmp(own, OWN_TAG, strlen(OWN_TAG)) == 0)
		return format_torn("deepspeed", "does not name it yet", NAME_DEEPSPEED_LATEST);
	int64_t step = name_parse(own).step;
	str_copy(verdict.framework, sizeof verdict.framework, "deepspeed");
	verdict.step = step >= 0 ? step : verdict.step;
	if (!is_named && !deepspeed_is_before(own, named))
		return verdict; /* a tag of the program's, saved without being named: the files speak for themselves */
	if (ranks == RANKS_ALL && listing_is_older_than(list, latest)) {
		verdict.proof = FORMAT_WHOLE;
		str_copy(verdict.words, sizeof verdict.words, "named by latest, files of all ranks; file hashes");
	}
	if (is_named)
		str_copy(verdict.beside, sizeof verdict.beside, NAME_DEEPSPEED_LATEST);
	return verdict;
}

/* The tag that `latest` in the folder itself names, read in; false: there is none. */
static bool deepspeed_inner(const struct format_folder *folder, struct listing *inner, char **path)
{
	char tag[TAG_MAX];
	CLEANUP(free_p) char *latest = listing_path(&folder->list, NAME_DEEPSPEED_LATEST);
	if (!listing_find(&folder->list, NAME_DEEPSPEED_LATEST) ||
	    !listing_line(&folder->list, latest, tag, sizeof tag) || strchr(tag, '/') || !beneath_is_path(tag))
		return false;
	*path = listing_path(&folder->list, tag);
	return listing_read(inner, folder->list.root, *path);
}

/* Lightning and Accelerate have both in a folder of their own. */
static struct format_verdict deepspeed_check(const struct format_folder *folder)
{
	CLEANUP(listing) struct listing list = { .count = 0 };
	CLEANUP(free_p) char *path = NULL;
	CLEANUP(free_p) char *beside = listing_path_beside(&folder->list, NAME_DEEPSPEED_LATEST);
	if (!deepspeed_inner(folder, &list, &path))
		return deepspeed_look(folder, beside);
	CLEANUP(free_p) char *latest = listing_path(&folder->list, NAME_DEEPSPEED_LATEST);
	const struct format_folder inner = { .list = list, .sums = folder->sums, .depth = folder->depth + 1 };
	struct format_verdict torn, verdict = deepspeed_look(&inner, latest);
	if (verdict.proof != FORMAT_TORN && !format_parts_are_right(folder, listing_name(&list), &torn))
		return torn;
	if (verdict.proof == FORMAT_WHOLE && !format_is_last(folder, NAME_DEEPSPEED_LATEST)) {
		verdict.proof = FORMAT_SOUND;
		str_copy(verdict.words, sizeof verdict.words, "files of all ranks; a file is newer than latest");
	}
	verdict.beside[0] = '\0'; /* it is in it */
	return verdict;
}

static bool deepspeed_has_ranks(const struct listing *list)
{
	return listing_find(list, WEIGHTS) || listing_find(list, OPTIMIZER);
}

static bool deepspeed_is(const struct format_folder *folder)
{
	CLEANUP(listing) struct listing list = { .count = 0 };
	CLEANUP(free_p) char *path = NULL;
	return deepspeed_has_ranks(&folder->list) ||
	       (deepspeed_inner(folder, &list, &path) && deepspeed_has_ranks(&list));
}

const struct format_folder_row format_row_deepspeed = { "deepspeed", deepspeed_is, deepspeed_check };
