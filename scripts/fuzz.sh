#!/usr/bin/env bash
# fuzz.sh [BUILD_DIR]: each reader of what others wrote meets FUZZ_SECONDS (60) of bytes made to break it, as many
# readers side by side as there are cores. One line of TAP each. What breaks one is kept, with how to see it again.
#
# Seeds are in tests/fuzz/corpus/NAME/; what was found on the way is kept in BUILD_DIR/fuzz-found/NAME/ and goes on from
# there the next time. FUZZ_KEEP=1 puts the part of it that reaches new code into the seeds. FUZZ_ONLY="tar yaml": only
# these.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=${1:-build-fuzz}
seconds=${FUZZ_SECONDS:-60}

# one BUILD SECONDS NUMBER NAME: runs one, prints its line.
if [ "${1-}" = --one ]; then
	build=$2 seconds=$3 number=$4 name=$5
	program=$build/tests/fuzz/fuzz_$name seeds=tests/fuzz/corpus/$name found=$build/fuzz-found/$name
	broken=$build/fuzz-broken/ log=$build/fuzz-found/$name.log
	mkdir -p "$found" "$broken" "$seeds"
	began=$(mktemp)
	timeout $((seconds * 3 + 120)) "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
		-artifact_prefix="$broken$name-" -print_final_stats=1 "$found" "$seeds" >"$log" 2>&1
	status=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	if [ "$status" -eq 0 ] && [ "${runs:-0}" -gt 0 ]; then
		echo "ok $number - fuzz: $name ($runs inputs)"
	else
		# One echo: two of these run side by side.
		kept=$(find "$broken" -name "$name-*" -newer "$began" | head -n 1)
		echo "not ok $number - fuzz: $name (exit $status)"$'\n'"$(grep -avE '^#[0-9]+\s' "$log" | tail -n 40 | sed 's/^/    /')"$'\n'"    the input: ${kept:-none was kept}; once more: $program $kept"
	fi
	rm -f "$began"
	[ "$status" -eq 0 ]
	exit
fi

works() {
	printf '#include <stddef.h>\n#include <stdint.h>\nint LLVMFuzzerTestOneInput(const uint8_t *, size_t);\n%s\n' \
		'int LLVMFuzzerTestOneInput(const uint8_t *d, size_t n) { (void)d; (void)n; return 0; }' |
		clang -fsanitize=fuzzer,address,undefined -x c -o /dev/null - 2>/dev/null
}
if ! command -v clang >/dev/null || ! works; then
	echo "fuzz.sh: this needs clang with libFuzzer: apt-get install clang libclang-rt-dev" >&2
	exit 1
fi
make -s -j"$(nproc)" FUZZ=1 B="$build" fuzzers || exit 1

read -ra names <<<"${FUZZ_ONLY:-$(make -s list-fuzzers)}"
echo "1..${#names[@]}"
for i in "${!names[@]}"; do
	echo "$build $seconds $((i + 1)) ${names[$i]}"
done | xargs -P "$(nproc)" -L 1 "$0" --one
status=$?

# Those that were made by hand have names; the others are called by their hash.
if [ "${FUZZ_KEEP-}" ]; then
	for name in "${names[@]}"; do
		seeds=tests/fuzz/corpus/$name fresh=$(mktemp -d)
		"$build/tests/fuzz/fuzz_$name" -set_cover_merge=1 -max_len=4096 "$fresh" "$seeds" "$build/fuzz-found/$name" \
			>/dev/null 2>&1 || exit 1
		find "$seeds" -type f -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
		mv "$fresh"/* "$seeds/"
		rmdir "$fresh"
	done
fi
exit "$status"
