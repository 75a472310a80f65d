#!/usr/bin/env bash
# Writes the pages of docs/ that are made from tables in the programs.
#
#   scripts/docs.sh [build folder]           writes them
#   scripts/docs.sh --check [build folder]   fails if a page is not what the tables say, and shows the difference
set -eu
cd "$(dirname "$0")/.."

check=
if [ "${1-}" = --check ]; then
	check=1
	shift
fi
build=${1:-build}
make -s B="$build" "$build/gen-docs" "$build/gen-lua" "$build/stoker"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

"$build/gen-docs" api > "$made/api.md"
"$build/gen-docs" config > "$made/config.md"
"$build/gen-docs" errors > "$made/errors.md"
"$build/gen-docs" fsck > "$made/fsck.md"
"$build/gen-docs" spec > "$made/spec.md"
"$build/gen-lua" --states > "$made/states.md"
"$build/stoker" help --markdown > "$made/cli.md"
tests/mutants/mutants.py docs/reliability.md > "$made/reliability.md" # its list of bugs

if [ -z "$check" ]; then
	cp "$made"/*.md docs/
	exit
fi
stale=0
for page in "$made"/*.md; do
	diff -u "docs/$(basename "$page")" "$page" || stale=1
done
[ "$stale" = 0 ] || echo "docs/ is not what the tables say: make docs" >&2
exit "$stale"
