#!/usr/bin/env bash
# demo.sh [BUILD_DIR]: trains a real model while everything around it is killed, then trains it again
# undisturbed, and compares the weights bit for bit. Everything it starts it stops, and its folder goes;
# KEEP=1 keeps the folder. Fails when anything is not as it says.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(cd "${1:-build}" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/stoker-demo.XXXXXX")
up_pid='' follow_pid='' started=$SECONDS

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '    %s\n' "$*"; }
fail() {
	printf '\ndemo: %s\n' "$*" >&2
	exit 1
}
stoker() { "$build/stoker" --dir "$folder" "$@"; }

# until_true SECONDS WHAT COMMAND…: asks four times a second.
until_true() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || fail "not within the time it should take: $what (logs are in $folder)"
		[ -z "$up_pid" ] || kill -0 "$up_pid" 2>/dev/null || fail "stoker up ended: $(tail -n 5 "$folder/up.out")"
		sleep 0.25
	done
}

# job_field ID NAME: one field of the job, empty when it has none.
job_field() {
	stoker show "$1" --json 2>/dev/null |
		/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["job"].get(sys.argv[1], ""))' "$2"
}
is_at_step() { [ "$(job_field "$1" step)" -ge "$2" ] 2>/dev/null; }
is_state() { [ "$(job_field "$1" state)" = "$2" ]; }
is_attempt() { [ "$(job_field "$1" attempt)" = "$2" ] && [ -n "$(run_pid "$1" program)" ]; }
is_adopted() { grep -q "adopted a run job=$1 " "$folder/worker.log"; }

# run_pid ID runner|program: as the run folder of the attempt that runs now says it.
run_pid() { cat "$folder"/worker/runs/"$1"-*/pid 2>/dev/null | sed -n "s/^\([0-9]*\) .* $2$/\1/p" | tail -n 1; }
worker_pid() {
	stoker workers --json | /usr/bin/python3 -c '
import json, sys
print(next((w["pid"] for w in json.load(sys.stdin)["workers"] if w.get("state") != "gone"), ""))'
}
worker_is_new() { [ -n "$(worker_pid)" ] && [ "$(worker_pid)" != "$1" ]; }
is_kept() { compgen -G "$folder/worker/finished/$1-*/output/model.safetensors" >/dev/null; }
weights() {
	until_true 10 "the folder of $1 is put away" is_kept "$1"
	sha256sum "$folder"/worker/finished/"$1"-*/output/model.safetensors | tail -n 1 | cut -d ' ' -f 1
}

cleanup() {
	local status=$?
	trap - EXIT INT TERM
	[ -z "$follow_pid" ] || kill "$follow_pid" 2>/dev/null || true
	if [ -n "$up_pid" ] && kill -TERM "$up_pid" 2>/dev/null; then
		wait "$up_pid" || true # drains: what runs is stopped, then the worker, the scheduler and Redis end
	fi
	if [ -n "${KEEP-}" ]; then
		note "kept: $folder"
	else
		rm -rf "$folder"
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

follow() { # streams a job in the background, indented
	stoker logs "$1" -f 2>&1 | sed -u 's/^/    | /' &
	follow_pid=$!
}
follow_end() {
	wait "$follow_pid" 2>/dev/null || true
	follow_pid=
}

say "1. stoker up: a Redis, a scheduler and a worker, in $folder"
"$build/stoker" --dir "$folder" up --port 0 >"$folder/up.out" 2>&1 &
up_pid=$!
until_true 30 'stoker up is ready' grep -q '^ready' "$folder/up.out"
sed 's/^/    /' "$folder/up.out"

say "2. A small transformer learns to write from docs/ (examples/charlm.yaml)"
spec=(examples/charlm.yaml --set 'train.steps=300')
killed=$(stoker submit "${spec[@]}")
note "stoker submit examples/charlm.yaml → $killed"
follow "$killed"
until_true 90 "$killed reaches step 60" is_at_step "$killed" 60

say "3. kill -9 of the worker: the run does not notice"
worker=$(worker_pid) program=$(run_pid "$killed" program)
kill -9 "$worker"
note "worker $worker is dead; the program is process $program"
until_true 30 'another worker is there' worker_is_new "$worker"
until_true 30 'the new worker adopts the run' is_adopted "$killed"
[ "$(run_pid "$killed" program)" = "$program" ] || fail "the run folder names another program than $program"
kill -0 "$program" || fail "the program did not outlive the worker"
note "worker $(worker_pid) has adopted the run; the program is still process $program"
until_true 90 "$killed reaches step 140" is_at_step "$killed" 140

say "4. kill -9 of the runner and the program: the run resumes from its last checkpoint"
runner=$(run_pid "$killed" runner) program=$(run_pid "$killed" program)
kill -9 "$runner" "$program"
died=$(date +%s%N)
note "runner $runner and program $program are dead"
until_true 30 'a second attempt' is_attempt "$killed" 2
note "attempt 2 runs $((($(date +%s%N) - died) / 1000000)) ms later, as process $(run_pid "$killed" program)"
until_true 120 "$killed ends" is_state "$killed" succeeded
follow_end
stoker events | grep "$killed" | grep -v 'saved checkpoint' | sed 's/^/    /'

say "5. The same job, left alone"
alone=$(stoker submit "${spec[@]}")
follow "$alone"
until_true 120 "$alone ends" is_state "$alone" succeeded
follow_end

say "6. The weights"
[ "$(job_field "$killed" attempt)" = 2 ] || fail "$killed was meant to need 2 attempts"
[ "$(job_field "$alone" attempt)" = 1 ] || fail "$alone was meant to need 1 attempt"
first=$(weights "$killed") second=$(weights "$alone")
note "$first  $killed, killed twice"
note "$second  $alone, left alone"
stoker metrics "$killed" | sed 's/^/    /'
[ "$first" = "$second" ] || fail "the weights differ: the resumed run is not the run that was left alone"

say "A model was trained on this project's own documentation, by tinygrad, on the CPU. Its worker was killed:
the program ran on under the next one. Then its runner and the program were killed: a second attempt went on
from the last checkpoint, model and optimizer. The weights are those of the undisturbed run, bit for bit."
note "$((SECONDS - started)) s in all"
