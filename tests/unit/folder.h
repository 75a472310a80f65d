/*
 * A folder of its own for each test, and files in it. Everything fails loudly.
 */
#ifndef STOKER_TESTS_UNIT_FOLDER_H
#define STOKER_TESTS_UNIT_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A fresh folder; the caller frees the path with folder_remove. */
char *folder_make(void);
void folder_remove(char *folder);

/* "<folder>/<name>"; the caller frees it. */
char *folder_path(const char *folder, const char *name);

/* Makes the folders above it. Rewrites in place what is there. */
void folder_write(const char *folder, const char *name, const void *data, size_t len);
void folder_text(const char *folder, const char *name, const char *text);
/* Under another name first, renamed then. */
void folder_put(const char *folder, const char *name, const void *data, size_t len);
void folder_mkdir(const char *folder, const char *name);
void folder_chmod(const char *folder, const char *name, mode_t mode);
mode_t folder_mode(const char *folder, const char *name);

/* For who is root, and above the modes: folder and all in it is nobody's, and so are we until seteuid(what this
 * answers). Else nothing happens. */
void folder_give_away(const char *folder);
uid_t folder_be_nobody(void);

int folder_has(const char *folder, const char *name);
/* The caller frees it; NUL-terminated. */
char *folder_read(const char *folder, const char *name, size_t *len);
/* How many files there are below it, hidden ones too. */
size_t folder_count(const char *folder);

/* A safetensors file of one F32 tensor named name with so many elements; metadata is JSON text or NULL. */
unsigned char *safetensors_make(const char *name, size_t elements, const char *metadata, size_t *len);

/* Whether this process has an inotify descriptor. */
bool has_inotify(void);

/* The next of a fixed sequence: tests that draw must be repeatable. */
uint64_t draw(uint64_t *state);

#endif
