"""The n-th malloc, read, write, connect or fsync of each program fails, once or with all that follow. Nothing crashes
or hangs, nothing is lost, no checkpoint is wrong, and what ends says why.

A short form is part of `make check`: one n of most kinds, another one each time (STOKER_TEST_SEED repeats it).
`make faults` tries FAULTS_EACH (40) of each: the first ones, and others all over the run."""
import os
import random

import pytest

from inject import Fault, has_sanitizer

EACH = int(os.environ.get("FAULTS_EACH", 1))
EARLY = 8
HOWS = {"malloc": ["ENOMEM"], "read": ["EIO", "EINTR", "short"], "write": ["ENOSPC", "EIO", "short"],
        "connect": ["ECONNREFUSED", "ETIMEDOUT"], "fsync": ["EIO"]}
# What is interrupted is done again, so that it may not be interrupted for ever.
FAULTS = [Fault(call, how, on) for call, hows in HOWS.items() for how in hows for on in (False, True)
          if (how, on) != ("EINTR", True)]
# The command makes no file that must outlive the machine; a sanitizer has allocators of its own.
CASES = [(program, fault) for program in ("stoker-worker", "stoker-scheduler", "stoker") for fault in FAULTS
         if (program, fault.call) != ("stoker", "fsync") and (fault.call != "malloc" or not has_sanitizer())]
# In the short form what is done only once is long, but for the writes of what has state.
SHORT = {("stoker-worker", "write"), ("stoker-scheduler", "write")}


def one_case(program, fault):
    is_long = EACH == 1 and not fault.on and (program, fault.call) not in SHORT
    return pytest.param(program, fault, id=f"{program}-{fault}", marks=pytest.mark.long if is_long else [])


counts = {}


def numbers(total, seed):
    """Which of so many calls fail: a random one; of more the first ones, and one of each part of the rest."""
    chance = random.Random(seed)
    if EACH == 1:
        return [chance.randint(1, total)]
    early = list(range(1, min(EARLY, EACH // 2, total) + 1))
    rest, left = total - len(early), EACH - len(early)
    parts = min(rest, left)
    return early + [len(early) + 1 + int((i + chance.random()) * rest / parts) for i in range(parts)]


@pytest.mark.parametrize("program, fault", [one_case(*case) for case in CASES])
def test_nothing_is_lost(stage, program, fault):
    if program not in counts:
        counts[program] = stage.try_fault(program)
    total = counts[program].count(fault.call)
    assert total, f"{program} makes no {fault.call}"
    for at in numbers(total, f"{os.environ['STOKER_TEST_SEED']} {program} {fault}"):
        print(stage.try_fault(program, fault, at))
