#!/usr/bin/env bash
# check.sh [BUILD_DIR]: builds everything with warnings as errors, lints, runs every test, and closes with
# one line `N passed, N failed` (and `, N skipped` when there are any). Fails when anything failed.
#
# ASAN=1: the same tests against a build with AddressSanitizer and UBSan; lint and the tests of the
# trainer, which is Python, are left out. ONLY="lua trainer": only these suites, and no lint.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=${1:-build}
export STOKER_BUILD=$build
reports=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$reports"' EXIT
passed=0 failed=0 skipped=0

say() { printf '\n== %s\n' "$*"; }

# count PASSED FAILED SKIPPED
count() {
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# count_tap FILE STATUS: lines of TAP. A program that died, or ran fewer tests than it planned, has failed.
count_tap() {
	local bad good skip planned ran
	bad=$(grep -c '^not ok' "$1")
	skip=$(grep -ciE '^ok .*# skip' "$1")
	good=$(($(grep -c '^ok' "$1") - skip))
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$1" | head -n 1)
	ran=$((good + bad + skip))
	if [ "${planned:-0}" -gt "$ran" ]; then
		bad=$((bad + planned - ran))
	elif [ "$2" -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
	fi
	count "$good" "$bad" "$skip"
}

# count_junit FILE: what pytest wrote; none at all is a failure.
count_junit() {
	local counts
	counts=$(/usr/bin/python3 - "$1" <<-'PYTHON'
		import sys
		import xml.etree.ElementTree as tree
		suites = list(tree.parse(sys.argv[1]).iter("testsuite"))
		tests, bad, skipped = (sum(int(suite.get(name)) for suite in suites for name in names)
		                       for names in (["tests"], ["failures", "errors"], ["skipped"]))
		print(tests - bad - skipped, bad, skipped)
	PYTHON
	) || counts="0 1 0"
	# shellcheck disable=SC2086 # three words
	count $counts
}

# suite NAME: one folder of pytest tests; its output and its report are kept for count_suite. Most tests wait more
# than they work: files run side by side. Those that count kills and what came of them have no other tests beside them.
suite() {
	local side_by_side=(-n $((2 * $(nproc))) --dist loadfile)
	[ "$1" != kill ] || side_by_side=()
	/usr/bin/python3 -m pytest "tests/$1" "${side_by_side[@]}" --durations 12 --junitxml "$reports/$1.xml" \
		>"$reports/$1.out" 2>&1
}
count_suite() {
	say "tests/$1"
	cat "$reports/$1.out"
	count_junit "$reports/$1.xml"
}

wanted() { [ -z "${ONLY-}" ] || [[ " $ONLY " == *" $1 "* ]]; }
suites() {
	local folder
	for folder in tests/*/; do
		folder=$(basename "$folder")
		compgen -G "tests/$folder/test_*.py" >/dev/null && wanted "$folder" && echo "$folder"
	done
}

say 'build'
if ! make -s -j"$(nproc)" DEV=1 ASAN="${ASAN-}" B="$build" all objects unit-tests; then
	echo '0 passed, 1 failed'
	exit 1
fi

# Lint and the fuzzers, which have sanitizers of their own, only compute: they take what the tests of daemons, which
# mostly wait, leave of the machine, and nothing of what those want.
computing=()
[ -n "${ASAN-}${ONLY-}" ] || computing+=(lint)
[ -n "${ASAN-}" ] || ! wanted fuzz || computing+=(fuzz)
compute() {
	local script=("scripts/$1.sh" "$build")
	[ "$1" != fuzz ] || script=(env "FUZZ_SECONDS=${FUZZ_SECONDS:-5}" scripts/fuzz.sh "$build-fuzz")
	chrt --idle 0 "${script[@]}" >"$reports/$1" 2>&1
	echo $? >"$reports/$1.status"
}
for name in "${computing[@]}"; do compute "$name"; done &

if [ -z "${ASAN-}" ] && wanted trainer; then
	suite trainer
	count_suite trainer
fi

if wanted unit; then
	say 'unit tests'
	mkdir "$reports/unit"
	# shellcheck disable=SC2016 # $1 is each test in turn
	make -s B="$build" list-unit-tests | tr ' ' '\n' | REPORTS=$reports/unit xargs -P $((2 * $(nproc))) -I {} sh -c '
		CMOCKA_MESSAGE_OUTPUT=TAP timeout 300 "$1" >"$REPORTS/${1##*/}" 2>&1
		echo $? >"$REPORTS/${1##*/}.status"' sh {}
	for test in $(make -s B="$build" list-unit-tests); do
		tap=$reports/unit/${test##*/}
		status=$(cat "$tap.status")
		count_tap "$tap" "$status"
		if [ "$status" -eq 0 ]; then
			echo "$test: $(grep -c '^ok' "$tap") ok"
		else
			echo "$test: exit $status"
			cat "$tap"
		fi
	done
fi

for name in $(suites); do
	[ "$name" = trainer ] && continue
	suite "$name"
	count_suite "$name"
done

wait
for name in "${computing[@]}"; do
	say "$name"
	touch "$reports/$name"
	cat "$reports/$name"
	count_tap "$reports/$name" "$(cat "$reports/$name.status" || echo 1)" # none: it did not come to its end
done

line="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || line="$line, $skipped skipped"
printf '\n%s\n' "$line"
[ "$failed" -eq 0 ]
