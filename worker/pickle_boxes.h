/* The dicts and lists of a pickle, as far as they matter: of each only what its keys and values told. */
#ifndef STOKER_WORKER_PICKLE_BOXES_H
#define STOKER_WORKER_PICKLE_BOXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "worker/pickle.h"
#include "worker/pickle_keys.h"

enum pickle_kind {
	KIND_PLAIN, /* None, a flag, a float, bytes */
	KIND_MARK,
	KIND_NUMBER,
	KIND_TEXT,
	KIND_CLASS,
	KIND_BOX,
	KIND_OBJECT, /* anything else */
};

struct pickle_value {
	enum pickle_kind kind;
	enum pickle_key key; /* of a text or class */
	int64_t number;      /* of a box: which */
};

struct pickle_box {
	int64_t step, epoch; /* -1: no such key */
	enum pickle_key step_key;
	int64_t inner_step, inner_epoch; /* of a dict directly in it */
	int64_t data_ranks, model_ranks; /* -1: no such key */
	bool is_full;                    /* not empty */
	bool is_object;                  /* of some class: what it holds cannot be told */
	bool has_state, has_groups;      /* of an optimizer, not empty */
	bool has_optimizer, has_inner_optimizer;
};

struct pickle_boxes {
	struct pickle_box *items;
	size_t count, room;
	bool has_moments; /* in any of them */
};

/* A new empty one; false: there are too many. */
bool pickle_box_new(struct pickle_boxes *boxes, bool is_object, struct pickle_value *value);
/* Both do nothing when `into` is no box. */
void pickle_box_put(struct pickle_boxes *boxes, struct pickle_value into, struct pickle_value key,
		    struct pickle_value value);
void pickle_box_append(struct pickle_boxes *boxes, struct pickle_value into, struct pickle_value item);
/* What the outermost value says. */
void pickle_box_tell(const struct pickle_boxes *boxes, struct pickle_value top, struct pickle_facts *facts);

#endif
