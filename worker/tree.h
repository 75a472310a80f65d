/*
 * Removes what a program left: any depth, any names, and folders whose own modes forbid it
 * (a checkpoint that was saved read-only comes back read-only). Links are removed, never
 * followed, and another file system is not entered. What cannot be removed is left.
 */
#ifndef STOKER_WORKER_TREE_H
#define STOKER_WORKER_TREE_H

#include <stdbool.h>

/* A file, or a folder with everything in it. true: it is gone. */
bool tree_remove(const char *path);

/* What is in a folder, not the folder. */
void tree_empty(const char *path);

#endif
