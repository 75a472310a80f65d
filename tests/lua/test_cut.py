"""A file of Redis that ends anywhere: as after a power cut, or on a disk that was full. Redis loads what is whole, and
all of it must be sound: functions are in it whole or not at all. What was acknowledged before the cut is there.
AOF_CUTS=1000 cuts more often, AOF_SEED=… at the same bytes again."""
import os
import random
import re
import shutil

import pytest

import fsck
import test_walk
from conftest import Queue
from harness import BUILD, RedisServer

CUTS = int(os.environ.get("AOF_CUTS", "12"))
STEPS = 300
BY_THE_WALK = r"(held job|deliveries has) .* due at 1\b"  # it moves time by hand, then calls what puts that right


def incremental(folder):
    (found,) = (folder / "appendonlydir").glob("*.incr.aof")
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of a Redis that was killed after a random walk; after each step, how long its file was and which jobs
    there were."""
    folder = tmp_path_factory.mktemp("written")
    server = RedisServer(folder)
    try:
        client = server.client()
        client.function_load((BUILD / "stoker.lua").read_text())
        queue = Queue(client)
        queue.create("installation1")
        walk = test_walk.Walk(queue, 7)
        walk.run_id = client.info("server")["run_id"]
        told = []
        for _ in range(STEPS):
            walk.step()
            jobs = {key: client.hmget(key, "uid", "state", "attempt") for key in client.keys(queue.key("job:*"))}
            told.append((incremental(folder).stat().st_size, jobs))
        server.kill()
        yield folder, told
    finally:
        if server.process.alive():
            server.stop()


def test_the_file_cut_anywhere_loads_and_is_sound(written, tmp_path):
    folder, told = written
    whole = incremental(folder).stat().st_size
    start = told[0][0]
    seed = int(os.environ.get("AOF_SEED", random.randrange(1 << 30)))
    cuts = random.Random(seed)
    for i in range(CUTS):
        at = cuts.randrange(start, whole + 1)
        here = tmp_path / str(i)
        shutil.copytree(folder / "appendonlydir", here / "appendonlydir")
        os.truncate(incremental(here), at)
        server = RedisServer(here)
        try:
            client = server.client()
            wrong = [problem for problem in fsck.check(client) if not re.search(BY_THE_WALK, problem)]
            assert wrong == [], f"cut at byte {at} of {whole} (AOF_SEED={seed})"
            _, jobs = max((one for one in told if one[0] <= at), key=lambda one: one[0])
            later = [set(one[1]) for one in told if one[0] > at]
            for key, (uid, _, attempt) in jobs.items():
                there = client.hmget(key, "uid", "attempt")
                gone_later = bool(later) and key not in later[0]
                assert there[0] == uid or gone_later, f"{key} is lost, cut at {at} (AOF_SEED={seed})"
                assert gone_later or int(there[1]) >= int(attempt)
        finally:
            server.kill()
        shutil.rmtree(here)
