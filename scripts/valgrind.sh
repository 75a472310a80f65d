#!/usr/bin/env bash
# valgrind.sh BUILD_DIR: tests of real servers with our three programs under valgrind's memcheck, what they fork
# included; what jobs run is not. Fails when a test does or when memcheck found an error: an invalid or uninitialized
# read, a definite leak. VALGRIND_TESTS names other tests.
#
# The tests take their programs from a folder (STOKER_BUILD): one is made that has a script in place of each program.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${1:-build}")
folder=$build-valgrind
# A job's life and its ends, checkpoints there and back, streams, webhooks, the archive. Not how runs are adopted or found
# dead: valgrind 3.19 has no pidfd_open.
tests=${VALGRIND_TESTS:-tests/integration/test_worker_ends.py
	tests/integration/test_checkpoint_runs.py tests/integration/test_scheduler_follow.py
	tests/integration/test_webhook_delivery.py tests/integration/test_archive.py tests/integration/test_code_runs.py}

rm -rf "$folder"
mkdir -p "$folder/found"
for one in "$build"/*; do
	ln -s "$one" "$folder/"
done
for program in stoker stoker-scheduler stoker-worker; do
	rm "$folder/$program"
	cat >"$folder/$program" <<-SCRIPT
		#!/bin/sh
		exec valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \\
			--errors-for-leak-kinds=definite --suppressions="$PWD/tests/valgrind.supp" \\
			--log-file="$folder/found/$program.%p" "$build/$program" "\$@"
	SCRIPT
	chmod +x "$folder/$program"
done

status=0
# shellcheck disable=SC2086 # several words
STOKER_BUILD=$folder STOKER_TEST_PATIENCE=8 \
	/usr/bin/python3 -m pytest -q -n "$(nproc)" --dist loadfile --timeout 1800 $tests || status=1
# Errors begin with ==; what it says of system calls that it does not know, with --.
mapfile -t found < <(grep -l '^==' -r "$folder/found")
if [ "${#found[@]}" -gt 0 ]; then
	tail -n 60 "${found[@]}"
	status=1
fi
echo "memcheck found something in ${#found[@]} processes of $(find "$folder/found" -type f | wc -l)"
exit "$status"
