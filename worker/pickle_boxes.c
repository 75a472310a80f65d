#include "worker/pickle_boxes.h"

#include "lib/buf.h"

#define BOXES_MAX (256 * 1024)

bool pickle_box_new(struct pickle_boxes *boxes, bool is_object, struct pickle_value *value)
{
	if (boxes->count == BOXES_MAX)
		return false;
	if (boxes->count == boxes->room) {
		boxes->room = boxes->room ? boxes->room * 2 : 64;
		boxes->items = mem_realloc(boxes->items, boxes->room * sizeof *boxes->items);
	}
	boxes->items[boxes->count] = (struct pickle_box){
		.step = -1,
		.epoch = -1,
		.inner_step = -1,
		.inner_epoch = -1,
		.data_ranks = -1,
		.model_ranks = -1,
		.is_object = is_object,
	};
	*value = (struct pickle_value){ .kind = KIND_BOX, .number = (int64_t)boxes->count++ };
	return true;
}

static struct pickle_box *pickle_box_of(const struct pickle_boxes *boxes, struct pickle_value value)
{
	return value.kind == KIND_BOX ? &boxes->items[value.number] : NULL;
}

/* A dict of torch's optimizer counts when there is state in it: before the first step there is none. */
static bool pickle_box_is_optimizer(const struct pickle_box *box)
{
	return box->has_groups && box->has_state;
}

static bool pickle_is_full(const struct pickle_boxes *boxes, struct pickle_value value)
{
	const struct pickle_box *box = pickle_box_of(boxes, value);
	return box ? box->is_full : value.kind == KIND_OBJECT;
}

static bool pickle_holds_optimizer(const struct pickle_boxes *boxes, struct pickle_value value)
{
	const struct pickle_box *box = pickle_box_of(boxes, value);
	return box && box->has_groups ? box->has_state : pickle_is_full(boxes, value);
}

static void pickle_box_take_inner(struct pickle_box *box, const struct pickle_box *inner)
{
	if (box->inner_step < 0)
		box->inner_step = inner->step;
	if (box->inner_epoch < 0)
		box->inner_epoch = inner->epoch;
	box->has_inner_optimizer |= inner->has_optimizer || pickle_box_is_optimizer(inner);
}

static bool pickle_is_step(enum pickle_key key)
{
	return key == KEY_STEP || key == KEY_STEP_LATER || key == KEY_STEP_LAST;
}

void pickle_box_put(struct pickle_boxes *boxes, struct pickle_value into, struct pickle_value key,
		    struct pickle_value value)
{
	struct pickle_box *box = pickle_box_of(boxes, into);
	const struct pickle_box *inner = pickle_box_of(boxes, value);
	enum pickle_key name = key.kind == KIND_TEXT ? key.key : KEY_NONE;
	bool is_count = value.kind == KIND_NUMBER && value.number >= 0;
	if (!box)
		return;
	box->is_full = true;
	if (pickle_is_step(name) && is_count && (box->step < 0 || name < box->step_key)) {
		box->step = value.number;
		box->step_key = name;
	}
	if (name == KEY_EPOCH && is_count)
		box->epoch = value.number;
	if (name == KEY_DATA_RANKS && is_count)
		box->data_ranks = value.number;
	if (name == KEY_MODEL_RANKS && is_count)
		box->model_ranks = value.number;
	box->has_state |= name == KEY_STATE && pickle_is_full(boxes, value);
	box->has_groups |= name == KEY_PARAM_GROUPS && pickle_is_full(boxes, value);
	box->has_optimizer |= name == KEY_OPTIMIZER && pickle_holds_optimizer(boxes, value);
	boxes->has_moments |= name == KEY_MOMENTS && value.kind != KIND_PLAIN;
	if (inner && name != KEY_PRIVATE && name != KEY_OPTIMIZER)
		pickle_box_take_inner(box, inner);
}

/* Lightning keeps a list of optimizers. */
void pickle_box_append(struct pickle_boxes *boxes, struct pickle_value into, struct pickle_value item)
{
	struct pickle_box *box = pickle_box_of(boxes, into);
	const struct pickle_box *inner = pickle_box_of(boxes, item);
	if (!box)
		return;
	box->is_full = true;
	box->has_groups |= inner && inner->has_groups;
	box->has_state |= inner && inner->has_groups && inner->has_state;
}

void pickle_box_tell(const struct pickle_boxes *boxes, struct pickle_value top, struct pickle_facts *facts)
{
	const struct pickle_box *box = pickle_box_of(boxes, top);
	if (boxes->has_moments)
		facts->optimizer = 1;
	if (!box)
		return;
	facts->step = box->step >= 0 ? box->step : box->inner_step;
	facts->epoch = box->epoch >= 0 ? box->epoch : box->inner_epoch;
	facts->data_ranks = box->data_ranks;
	facts->model_ranks = box->model_ranks;
	if (boxes->has_moments || box->has_optimizer || box->has_inner_optimizer || pickle_box_is_optimizer(box))
		facts->optimizer = 1;
	else if (!box->is_object)
		facts->optimizer = 0;
}
