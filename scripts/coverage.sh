#!/usr/bin/env bash
# coverage.sh BUILD_DIR: builds into BUILD_DIR with counters, runs the tests of the function library, the unit tests and
# those of real processes against it, and says which branches they did not reach (docs/reliability.md).
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=$1
export STOKER_BUILD=$build
export WALK_SEED='1 2 3' STOKER_TEST_SEED=1 # what is reached is not left to chance

scripts/bootstrap-coverage.sh "$build" || exit
make -s -j"$(nproc)" COVERAGE=1 B="$build" all objects unit-tests || exit
find "$build" -name '*.gcda' -delete
# What the tests leave is read again later. Elsewhere, since the names of sockets must be short.
rm -rf "$(readlink -f "$build/coverage")" "$build/coverage"
ln -s "$(mktemp -d /tmp/stoker-cov.XXXXXX)" "$build/coverage"
failed=0
for test in $(make -s COVERAGE=1 B="$build" list-unit-tests); do
	timeout 300 "$test" >"$build/coverage/unit.out" 2>&1 || { cat "$build/coverage/unit.out" && failed=1; }
done
# The paths of sockets are short (107 bytes), and the logs long: they are left where they are only until they were read.
left=$(mktemp -d)
trap 'rm -rf "$left"' EXIT
for suite in lua integration; do
	/usr/bin/python3 -m pytest -q "tests/$suite" -n $((2 * $(nproc))) --dist loadfile --basetemp "$left/$suite" || failed=1
	find "$left/$suite" -name '*redis*.log' -exec grep -ho ' # stoker-branch -\?[0-9]*$' {} + |
		sort -u >"$build/coverage/$suite.redis.log"
	rm -rf "${left:?}/$suite"
done
[ "$failed" -eq 0 ] || echo "coverage.sh: tests failed: the build that counts is slower, run those again by themselves"
/usr/bin/python3 tests/coverage/coverage.py "$build" && exit "$failed"
