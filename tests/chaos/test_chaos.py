"""The short form of `make chaos`: each fault at least once, and nothing is lost. CHAOS_SEED repeats it."""
import os

import chaos


def test_nothing_is_lost_whatever_breaks(tmp_path):
    report = chaos.Chaos(tmp_path, jobs=int(os.environ.get("CHAOS_JOBS", 120)),
                         seconds=float(os.environ.get("CHAOS_SECONDS", 12)),
                         seed=os.environ.get("CHAOS_SEED", os.environ["STOKER_TEST_SEED"])).run()
    chaos.show(report)
    assert chaos.is_clean(report)
