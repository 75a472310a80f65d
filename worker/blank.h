/*
 * Folders of ended runs, emptied for the next ones. Making and deleting ten files and
 * folders is the dearest part of a short run (a file system looks through what was
 * deleted lately before it hands out a number again), and all runs need the same ten.
 *
 * <state>/blank/<name> holds work/, checkpoints/ and output/, empty, and the files of
 * a run folder without a byte. The rule it protects: nothing of one run is ever seen
 * by another. What is not exactly as a run folder was made is removed instead.
 */
#ifndef STOKER_WORKER_BLANK_H
#define STOKER_WORKER_BLANK_H

#include <stdbool.h>

/* Gives one the name `path`. false: there is none. */
bool blank_take(const char *state_dir, const char *path);

/* Makes one of the folder of an ended run. false: enough are there, or it is not fit for it; it is where it was. */
bool blank_make(const char *state_dir, const char *folder);

#endif
