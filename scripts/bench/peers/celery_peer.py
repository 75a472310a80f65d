"""Celery, for scripts/bench/queue_bench.py:  celery_peer.py JOBS fills the queue, one message a call, as there is no
bulk; its worker imports `app` from here. BENCH_SOCKET is Redis' socket."""
import os
import sys
import time

from celery import Celery

app = Celery("bench", broker=f"redis+socket://{os.environ['BENCH_SOCKET']}")
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=16, broker_pool_limit=1, task_default_queue="bench")


@app.task(name="noop")
def noop(*_):
    pass


def main():
    jobs = int(sys.argv[1])
    start = time.monotonic()
    with app.producer_pool.acquire(block=True) as producer:
        for i in range(jobs):
            noop.apply_async((f"train-{i}", "abcdefghijklmnop" * 3), producer=producer)
    print(f'{{"rate": {jobs / (time.monotonic() - start):.1f}}}')


if __name__ == "__main__":
    main()
