/* run.json: the text of a struct run_record (worker/run_folder.h). */
#ifndef STOKER_WORKER_RUN_RECORD_H
#define STOKER_WORKER_RUN_RECORD_H

#include "worker/run_folder.h"

char *run_record_print(const struct run_record *record);
bool run_record_parse(const char *text, size_t len, struct run_record *record, struct error *err) MUST_CHECK;

#endif
