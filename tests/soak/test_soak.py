"""What says that something grows, and a few seconds of `make soak`: the whole of it does what it should."""
import os
import random

import flat
import soak


def over(values):
    return [(10.0 * i, value) for i, value in enumerate(values)]


def test_a_leak_is_seen_in_the_noise():
    chance = random.Random(1)
    leaks = over(100 + 0.05 * i + chance.uniform(-1, 1) for i in range(360))
    assert 8 < flat.growth(leaks) < 10  # 180 samples in the second half


def test_noise_peaks_and_a_warm_up_are_no_growth():
    chance = random.Random(1)
    values = [min(100, 5 * i) + chance.uniform(-1, 1) + (50 if i % 40 == 0 else 0) for i in range(360)]
    assert abs(flat.growth(over(values))) < 0.5
    assert 99 < flat.level(over(values)) < 101


def test_one_sample_is_no_growth():
    assert flat.growth(over([5])) == 0 and flat.growth([]) == 0 and flat.level([]) == 0


def test_a_few_seconds(tmp_path):
    """Too short to say what grows; that everything ends as it should, once, and that fsck finds nothing, holds."""
    rows = soak.Soak(tmp_path, 8, 6, os.environ["STOKER_TEST_SEED"], every=1.0).run()
    found = {row["figure"]: row for row in rows}
    assert found["soak: jobs that ended"]["value"] > 20
    assert found["soak: jobs that ended otherwise than once as they should"]["value"] == 0
    assert found["soak: findings of fsck"]["value"] == 0
    for what in ("memory of the scheduler", "descriptors of the worker 1", "Redis keys", "files of the workers"):
        assert f"soak: {what}, growth in the second half" in found
