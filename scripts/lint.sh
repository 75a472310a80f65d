#!/usr/bin/env bash
# lint.sh [BUILD_DIR]: everything that can be said about the sources without running them. Prints a line
# for each check (the words of TAP, so that scripts/check.sh can count them) and what it found.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=${1:-build}
number=0 failed=0
found=$(mktemp)
trap 'rm -f "$found"' EXIT

check() {
	local name=$1
	shift
	number=$((number + 1))
	if "$@" >"$found" 2>&1; then
		echo "ok $number - lint: $name"
	else
		echo "not ok $number - lint: $name"
		sed 's/^/    /' "$found"
		failed=$((failed + 1))
	fi
}

c_format() { git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror; }
c_tidy() { make -s -k -j"$(nproc)" DEV=1 B="$build" tidy; }
c_cppcheck() {
	mkdir -p "$build/cppcheck"
	# Variables that may be uninitialized are the compiler's part, who knows what a function fills.
	git ls-files '*.c' | grep -v '^tests/' |
		cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr --std=c11 -j"$(nproc)" \
			--cppcheck-build-dir="$build/cppcheck" --library=scripts/cppcheck.cfg --suppress=missingInclude --suppress=uninitvar \
			--suppress='*:*/build*/*' -I. -D_GNU_SOURCE -DSTOKER_VERSION='"0"' --file-list=-
}
shell() { git ls-files '*.sh' .ci/run | xargs shellcheck -x; }
# The files are one program, joined by the Makefile; its tables are printed, so only the sources have a width.
lua() {
	luacheck --quiet --no-color --std lua51 --globals redis cjson server --no-max-line-length "$build/stoker.lua"
}
width() { ! git ls-files '*.py' '*.lua' | LC_ALL=C.UTF-8 xargs grep -nE '^.{121,}'; }
python() {
	git ls-files '*.py' | xargs pyflakes3 &&
		git ls-files '*.py' | xargs /usr/bin/python3 -c 'import sys; [compile(open(f).read(), f, "exec") for f in sys.argv[1:]]'
}
docs() { scripts/docs.sh --check "$build"; }

echo "1..10"
check 'layers' scripts/check-layers.sh
check 'sizes' scripts/check-sizes.sh
check 'format' c_format
check 'clang-tidy' c_tidy
check 'cppcheck' c_cppcheck
check 'shellcheck' shell
check 'luacheck' lua
check 'python' python
check 'width' width
check 'docs are up to date' docs
[ "$failed" -eq 0 ]
