#!/usr/bin/env bash
# The layers of docs/architecture.md: lib ← queue ← {scheduler, worker, cli}. Each includes only what
# stands before it, only queue/ knows hiredis, and only queue/keys.c spells the names of keys. The clients of
# examples/ and the load of the benchmark are apps like any other.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0

# complain MESSAGE <LINES: nothing when there are none.
complain() {
	local lines
	lines=$(cat)
	[ -n "$lines" ] || return 0
	printf '%s\n%s\n' "$1" "$lines"
	bad=1
}

# includes LAYER: every include in quotes of its sources, as file:line:#include "x.h".
includes() {
	git ls-files "$1/*.[ch]" | xargs -r grep -nE '^#include "' || true
}

for layer in lib queue scheduler worker cli; do
	case $layer in
	lib) allowed='lib' ;;
	queue) allowed='lib|queue' ;;
	*) allowed="lib|queue|$layer" ;;
	esac
	complain "$layer/ may include only ($allowed)/…, written from the root:" \
		< <(includes "$layer" | grep -vE "#include \"($allowed)/[a-z0-9_]+\.h\"")
done

complain 'only queue/ talks to Redis:' \
	< <(git ls-files '*.[ch]' | grep -vE '^(queue|tests|examples|scripts/bench)/' | xargs -r grep -nE '#include [<"]hiredis')
complain 'names of keys are made in queue/keys.c:' \
	< <(git ls-files '*.c' | grep -vE '^(queue/keys\.c|tests/|examples/)' | xargs -r grep -nE '"[^"]*\{%s\}')
# But the one that serves the connections to S3, in a helper process.
complain 'no threads: one event loop, and helper processes for what blocks:' \
	< <(git ls-files '*.[ch]' | grep -vxE 'lib/s3_(thread\.c|internal\.h)' | xargs -r grep -nE '\bpthread_create\b|<pthread\.h>|<threads\.h>')

complain 'lua/VERSION is the number of the function library:' < <(grep -vxE '[0-9]+' lua/VERSION)
exit "$bad"
