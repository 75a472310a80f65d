"""RQ, for scripts/bench/queue_bench.py:  rq_peer.py SOCKET JOBS fills the queue; `rq worker` imports noop from here.
Its worker forks a process for every job, which is what it is compared for."""
import sys


def noop(*_):
    pass


def main():
    import redis
    from rq import Queue
    queue = Queue("bench", connection=redis.Redis(unix_socket_path=sys.argv[1]))
    jobs = int(sys.argv[2])
    for first in range(0, jobs, 1000):
        queue.enqueue_many([Queue.prepare_data("rq_peer.noop", [f"train-{i}"], result_ttl=0)
                            for i in range(first, min(first + 1000, jobs))])
    print("{}")


if __name__ == "__main__":
    main()
