#!/usr/bin/env python3
"""submit.py SPEC KEY: a job through redis-py alone. Prints its log, then how it ended."""
import os
import sys

import redis

spec, key = sys.argv[1:]
base = "stoker:{%s}:" % os.environ.get("STOKER_QUEUE", "default")
r = redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1"), decode_responses=True)
try:
    job = r.fcall("stoker_submit", 1, base + "meta", spec, key)
    n, last, more, state = job.rsplit("-", 1)[1], "0", None, "queued"
    while more or state in ("waiting", "queued", "running"):
        # The state is read before the log: once it is final, no line is still to come.
        state, error = r.hmget(f"{base}job:{n}", "state", "error")
        more = r.xread({f"{base}log:{n}": last}, count=100, block=500)
        for last, entry in more[0][1] if more else ():
            print(next(text for name, text in entry.items() if name not in ("time_ms", "lines")), flush=True)
except redis.RedisError as refused:
    sys.exit(str(refused))
print(job, f"{state}: {error}" if error else state)
sys.exit(state != "succeeded")
