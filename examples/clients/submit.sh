#!/usr/bin/env bash
# submit.sh SPEC KEY: a job through redis-cli alone. Prints its log, then how it ended.
set -euo pipefail
base="stoker:{${STOKER_QUEUE:-default}}:"
address=(-u "${REDIS_URL:=redis://127.0.0.1}")
[[ $REDIS_URL != unix://* ]] || address=(-s "${REDIS_URL#unix://}")
redis() { redis-cli -e "${address[@]}" "$@"; }

job=$(redis FCALL stoker_submit 1 "${base}meta" "$1" "$2")
n=${job##*-} last=0 entry=maybe
while [ -n "$entry" ] || [[ $state =~ ^(waiting|queued|running) ]]; do
	# The state is read before the log: once it is final, no line is still to come.
	state=$(redis HMGET "${base}job:$n" state error)
	entry=$(redis XREAD COUNT 1 BLOCK 500 STREAMS "${base}log:$n" "$last")
	[ -n "$entry" ] || continue
	last=$(sed -n 2p <<<"$entry") # after the stream's name; then time_ms, its value, stdout, text, lines, their number
	sed 1,5d <<<"$entry" | head -n -2
done
echo "$job ${state/$'\n'/: }"
[[ $state = succeeded* ]]
