/*
 * Prints the tables that C and the function library share, as Lua (build/tables.lua);
 * with --states docs/states.md instead. One source, so that a job spec and a move
 * between states are judged alike at every door.
 */
#include <stdio.h>
#include <string.h>
#include "queue/fsck.h"
#include "queue/spec.h"
#include "queue/state.h"

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--states") == 0) {
		state_print_markdown();
	} else {
		state_print_lua();
		spec_print_lua();
		fsck_print_lua();
	}
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
