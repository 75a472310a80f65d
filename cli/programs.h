/*
 * Where the other programs are: beside this one (a build folder, an installation), else
 * in PATH.
 */
#ifndef STOKER_CLI_PROGRAMS_H
#define STOKER_CLI_PROGRAMS_H

/* A path, or the bare name for PATH; to be freed. */
char *program_path(const char *name);

#endif
