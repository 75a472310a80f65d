"""The figures of the queue itself: enqueue, drain, latency, workers that wait."""
from measure import EVERYSEC, NO_FILE, load, medians, redis_server, stoker_server
from peers import BEANSTALKD, BEE, BULLMQ, CELERY, SIDEKIQ
from table import row

IN_FLIGHT = 4  # calls of bulk, and connections that drain: enough for Redis to be never idle


def on(peer, what, options, *args):
    """A contender's turn: on a new Redis, for which nobody else's jobs are in the way."""
    def turn():
        with redis_server(*options) as server:
            return getattr(peer, what)(*[server if arg is SERVER else arg for arg in args])
    return turn


SERVER = object()


def peer_rows(figure, unit, values, missing, musts):
    """One row a peer: the first of `values` is ours."""
    mine = values["stoker"]
    return [row(figure, mine, unit, peer, values[peer], must, missing.get(peer)) for peer, must in musts.items()]


def drain(bench):
    jobs = bench.scaled(50000)

    def stoker(batch, total):
        def turn():
            with stoker_server(*EVERYSEC) as server:
                load(server, "bulk", jobs=total, depth=IN_FLIGHT, batch=100)
                return load(server, "drain", jobs=total, batch=batch, connections=IN_FLIGHT)["rate"]
        return turn

    values, missing = medians(bench.rounds, {
        "stoker": stoker(64, jobs), "one a call": stoker(1, jobs // 5),
        "BullMQ": on(BULLMQ, "drain", NO_FILE, SERVER, jobs), "Sidekiq": on(SIDEKIQ, "drain", NO_FILE, SERVER, jobs),
        "bee-queue": on(BEE, "drain", NO_FILE, SERVER, jobs), "Celery": on(CELERY, "drain", NO_FILE, SERVER, jobs // 5),
        "beanstalkd, memory": lambda: BEANSTALKD.rates(jobs)["drain"]})
    rows = peer_rows("drain, 64 a call, everysec (peers: no file)", "jobs/s", values, missing,
                     {"BullMQ": "ratio >= 1.5", "Sidekiq": "ratio >= 1.5", "bee-queue": None, "Celery": None,
                      "beanstalkd, memory": None})
    return rows + [row("drain, one a call, everysec", values["one a call"], "jobs/s")]


def bulk(bench):
    jobs = bench.scaled(50000)
    by_function = []

    def stoker():
        with stoker_server(*EVERYSEC) as server:
            answer = load(server, "bulk", jobs=jobs, depth=IN_FLIGHT, batch=100)
            by_function.append(answer["bulk"])
            return answer["rate"]

    values, missing = medians(bench.rounds, {
        "stoker": stoker, "beanstalkd, memory": lambda: BEANSTALKD.rates(jobs)["bulk"],
        **{peer.name: on(peer, "rate", EVERYSEC, "bulk", SERVER, jobs) for peer in (BULLMQ, BEE, SIDEKIQ)}})
    rows = peer_rows("bulk enqueue, everysec", "jobs/s", values, missing,
                     {"BullMQ": "ratio >= 2.5", "bee-queue": None, "Sidekiq": None, "beanstalkd, memory": None})
    if not all(by_function):
        for one in rows:
            one["note"] = "no stoker_bulk in the library: pipelined stoker_submit" + \
                (f"; {one['note']}" if one["note"] else "")
    return rows


def single(bench):
    jobs = bench.scaled(10000)

    def stoker():
        with stoker_server(*EVERYSEC) as server:
            return load(server, "single", jobs=jobs)["rate"]

    values, missing = medians(bench.rounds, {
        "stoker": stoker, **{peer.name: on(peer, "rate", EVERYSEC, "single", SERVER, jobs)
                             for peer in (BULLMQ, BEE, SIDEKIQ, CELERY)}})
    return peer_rows("single enqueue, one in flight, everysec", "jobs/s", values, missing,
                     {"BullMQ": "ratio >= 1.5", "bee-queue": None, "Sidekiq": None, "Celery": None})


def stoker_latency(jobs, workers):
    def turn():
        with stoker_server(*EVERYSEC) as server:
            answer = load(server, "latency", jobs=jobs, warm=50, workers=workers)
            return answer["median"], answer["p99"]
    return turn


def latency(bench):
    jobs = bench.scaled(500)
    values, missing = medians(bench.rounds, {
        "stoker": stoker_latency(jobs, 1), **{peer.name: on(peer, "latency", EVERYSEC, SERVER, jobs)
                                              for peer in (BULLMQ, SIDEKIQ, BEE)}})
    musts = {"BullMQ": "ratio < 0.3333", "Sidekiq": "ratio < 0.7", "bee-queue": None}
    rows = []
    for i, name in enumerate(["median", "p99"]):
        column = {peer: value and value[i] for peer, value in values.items()}
        rows += peer_rows(f"submit to claimed, low load, {name}", "us", column, missing, musts)
    return rows


def waiting(bench):
    jobs = bench.scaled(500)
    values, _ = medians(bench.rounds, {"1": stoker_latency(jobs, 1), "1000": stoker_latency(jobs, 1000)})
    return [row(f"submit to claimed, 1,000 workers waiting, {name}", values["1000"][i], "us", "1 worker waiting",
                values["1"][i], "ratio <= 1.2" if name == "median" else None)
            for i, name in enumerate(["median", "p99"])]
