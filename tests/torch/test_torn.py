"""A writer may be killed at any byte of a save: what is accepted then is what some save had finished, byte for byte.

Two saves, the second over the first or beside it, are recorded as what they did to their files, and done again up to
each of 1,000 places: half of them anywhere, half close to the ends of files and to the steps between them."""
import os

import pytest

from conftest import SAVERS
from recording import Replay, contents, record, weight

CUTS = int(os.environ.get("STOKER_CUTS", "1000"))
PAGE = 4096
RECORDED = ["torch", "lightning", "numpy", "huggingface", "huggingface-over", "dcp", "dcp-old", "megatron", "orbax",
            "deepspeed", "deepspeed-late"]
NEVER = ["torch-old"]  # nothing in it says where it ends


def places(steps, dice, count):
    """Where to cut: sums of weights, in order."""
    ends, total = [], 0
    for step in steps:
        total += weight(step)
        ends.append(total)
    cuts = {*ends}
    while len(cuts) < min(count, total):
        cuts.add(dice.randint(0, total))
        cuts.add(min(max(0, dice.choice(ends) + dice.randint(-300, 300)), total))
    return sorted(cuts)


def finished(steps, folder):
    """What each name looked like at the end of each save; the marks say when that was."""
    kept, replay = {}, Replay(steps, folder)
    for step in steps:
        replay.do(step)
        if step[0] == "mkdir" and step[1].startswith("mark-"):
            for path in folder.iterdir():
                if not path.name.startswith("mark-"):
                    kept.setdefault(path.name, []).append(contents(path))
    return kept


def same(layout, seen, wanted):
    """JSON without the end of its last line says the same."""
    if layout.startswith("huggingface") and "trainer_state.json" in seen:
        seen = {**seen, "trainer_state.json": seen["trainer_state.json"].rstrip()}
        wanted = {**wanted, "trainer_state.json": wanted["trainer_state.json"].rstrip()}
    return seen == wanted


@pytest.fixture
def recorded(tmp_path, python_of):
    def make(layout):
        source, empty = tmp_path / "source", tmp_path / "finished"
        source.mkdir()
        empty.mkdir()
        steps = record([python_of(layout), SAVERS, layout, source, "20", "30"], source, tmp_path / "trace")
        kept = finished(steps, empty)
        again = {path.name: contents(path) for path in source.iterdir() if not path.name.startswith("mark-")}
        assert {name: kept[name][-1] for name in again} == again, "the recording does what the save did"
        return steps, kept
    return make


@pytest.mark.parametrize("layout", RECORDED + NEVER)
def test_cut_anywhere(tmp_path, ask, recorded, dice, layout):
    steps, kept = recorded(layout)
    folder = tmp_path / "cut"
    folder.mkdir()
    replay, asked, accepted = Replay(steps, folder), 0, set()
    cuts = places(steps, dice, CUTS)
    for place in cuts:
        replay.go(place)
        for path in folder.iterdir():
            if path.name.startswith("mark-"):
                continue
            said = ask(path)
            asked += 1
            if said.answer != "accepted":
                continue
            seen = contents(path)
            assert any(same(layout, seen, whole) for whole in kept.get(path.name, [])), \
                f"cut at {place} of {cuts[-1]}: {path.name} was accepted: {said.words}"
            accepted.add((path.name, hash(tuple(sorted(seen.items())))))
    assert len(cuts) >= CUTS and asked >= CUTS / 2
    if layout in NEVER:
        assert not accepted
    else:
        # Of the late one the last save has no `latest` that came after all of it.
        wanted = 1 if layout == "deepspeed-late" else 2
        assert len(accepted) >= wanted, "both saves are accepted once they are there"


def test_pages_that_never_came(tmp_path, ask, python_of, dice):
    """tinygrad sets the size, maps the file and fills it: whatever was filled in until a kill, none of it is accepted.
    Nor, while the program lives, what has a hole, unless it was quiet for long."""
    steps = record([python_of("tinygrad"), SAVERS, "tinygrad", tmp_path, "20"], tmp_path, tmp_path / "trace")
    assert any(step[0] == "size" for step in steps) and not any(step[0] == "write" for step in steps)
    whole = (tmp_path / "model.safetensors").read_bytes()
    path = tmp_path / "cut" / "model.safetensors"
    path.parent.mkdir()
    pages = (len(whole) + PAGE - 1) // PAGE
    for _ in range(CUTS):
        path.unlink(missing_ok=True)
        kind = dice.choice(["first", "some", "bytes"])
        chosen = range(dice.randint(0, pages)) if kind == "first" else dice.sample(range(pages), dice.randint(0, pages))
        upto = dice.randint(0, len(whole)) if kind == "bytes" else len(whole)
        with path.open("wb") as file:
            file.truncate(len(whole))
            for page in sorted(chosen) if kind != "bytes" else range(pages):
                file.seek(page * PAGE)
                file.write(whole[page * PAGE:min((page + 1) * PAGE, max(upto, page * PAGE))])
        assert ask(path).answer == "refused", (kind, upto)
        if path.stat().st_blocks * 512 < len(whole):
            said = ask(path, "settled")
            assert said.answer == "refused" or "hash only" in said.words, said
    path.write_bytes(whole)
    assert ask(path, "settled").answer == "accepted"
