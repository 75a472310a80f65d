/* From a checked spec (queue/spec_check.h) to struct spec. */
#ifndef STOKER_QUEUE_SPEC_DECODE_H
#define STOKER_QUEUE_SPEC_DECODE_H

#include <jansson.h>
#include "queue/spec.h"

/* root has passed spec_check. spec need not be initialized. */
void spec_decode(const json_t *root, struct spec *spec);

#endif
