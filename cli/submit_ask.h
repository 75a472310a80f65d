/*
 * stoker submit -i: the spec is asked for on the terminal. Each answer is checked at once, with the sentences that a
 * file would get; the spec can be kept as a file.
 */
#ifndef STOKER_CLI_SUBMIT_ASK_H
#define STOKER_CLI_SUBMIT_ASK_H

#include <stdbool.h>
#include <jansson.h>
#include "lib/error.h"

/* Questions go to stderr, answers come from stdin. given: what is set already, a mapping, which gets the answers.
 * *is_wanted: it is to be submitted. Fails when stdin is no terminal, or ends before the last answer. */
bool submit_ask(json_t *given, bool *is_wanted, struct error *err) MUST_CHECK;

#endif
