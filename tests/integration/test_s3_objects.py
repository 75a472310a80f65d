"""What the store says of objects beyond putting and getting: parts of them, links, what must be new, what is left."""
import base64
import hashlib
import re
import time

import pytest

from s3 import MIB, PART, Store, noise

KINDS = ("s3", "file")


@pytest.fixture(params=KINDS)
def any_store(request, tmp_path):
    return request.getfixturevalue("store") if request.param == "s3" else Store({}, f"file://{tmp_path}/store")


@pytest.mark.parametrize("offset, length", [(0, 10), (5, 0), (PART - 3, 7), (1, -1), (2 * PART, 99 * MIB),
                                            (3 * PART, 1), (3 * PART, -1)])
def test_a_part_of_an_object(any_store, offset, length):
    data = noise(3 * PART)
    any_store.put("a/k", data)
    end = len(data) if length < 0 else offset + length
    assert any_store.run("range", "a/k", str(offset), str(length)) == data[offset:end]


def test_a_part_that_begins_behind_the_end(any_store):
    any_store.put("k", b"12345")
    for offset in ("6", "-1"):
        assert any_store.fails("range", "k", offset, "1").startswith(
            f"invalid: store {any_store.url}: k has 5 bytes, none at {offset}")
    assert any_store.fails("range", "nothing", "0", "1").startswith("not-found: ")


def test_a_cut_answer_is_asked_for_from_where_it_was_cut(faulty):
    faults, store = faulty
    data = noise(PART + 1000)
    store.put("k", data)
    faults.seen.clear()
    faults.sent.clear()
    faults.fault = lambda method, path, n: "half" if method == "GET" and n < 4 else None
    assert store.run("range", "k", "100", str(PART)) == data[100:PART + 100]
    ranges = [[int(x) for x in re.findall(r"\d+", headers["range"])] for headers in faults.sent if headers["range"]]
    assert len(ranges) == 4 and {last for _, last in ranges} == {PART + 99}
    left = [last + 1 - first for first, last in ranges]
    assert left == [PART, PART // 2, PART // 4, PART // 8]


def test_what_must_be_new_is_never_replaced(any_store):
    any_store.run("put-new", "a/k", data=b"first")
    any_store.run("put-new", "a/k", data=b"first")
    for other in (b"other", b"firs", b"first!", b""):
        said = any_store.fails("put-new", "a/k", data=other)
        assert said.startswith(f"conflict: store {any_store.url}: a/k is there already, with other contents")
    assert any_store.get("a/k") == b"first"
    assert any_store.run("leftovers", "") == b""


def test_what_must_be_new_and_is_large(any_store):
    data = noise(PART + 5)
    any_store.run("put-new", "k", data=data)
    any_store.run("put-new", "k", data=data)
    assert any_store.fails("put-new", "k", data=noise(PART + 5, seed=2)).startswith("conflict: ")
    assert any_store.get("k") == data


def test_what_was_new_and_whose_answer_was_lost_is_there(faulty):
    faults, store = faulty
    faults.fault = lambda method, path, n: "lose" if n == 0 else None
    store.run("put-new", "k", data=b"data")
    assert faults.count("PUT") == 2 and store.get("k") == b"data"


def test_a_server_that_has_no_conditions_is_asked_without(faulty):
    faults, store = faulty
    faults.fault = lambda method, path, n: (501, "NotImplemented") if faults.sent[n]["if-none-match"] else None
    store.run("put-new", "k", data=b"data")
    assert [headers["if-none-match"] for headers in faults.sent] == ["*", None] and store.get("k") == b"data"


@pytest.mark.parametrize("seconds", ["0", "-5", "604801"])
def test_a_link_lasts_at_most_a_week(any_store, seconds):
    assert any_store.fails("link", "k", seconds).startswith(
        f"invalid: store {any_store.url}: a link lasts 1 s to 7 days, not {seconds} s")


def test_a_folder_has_no_links(tmp_path):
    assert Store({}, f"file://{tmp_path}/store").run("link", "k", "60") == b"none\n"


def test_what_writers_left_is_listed_with_its_age(any_store):
    any_store.run("leave", "a/big", data=noise(2 * PART))
    any_store.run("leave", "b/big", data=noise(2 * PART))
    for _ in range(2):  # it is only told
        (line,) = any_store.run("leftovers", "a/").decode().splitlines()
        name, modified_ms = line.split()
        assert name.startswith("a/") and abs(int(modified_ms) - time.time() * 1000) < 60000
    assert any_store.list() == []
    assert len(any_store.run("sweep", "").decode().split()) == 2
    assert any_store.run("leftovers", "") == b""


def sums(faults):
    """What was sent as x-amz-checksum-sha256 with each PUT."""
    return [headers["x-amz-checksum-sha256"] for (method, _), headers in zip(faults.seen, faults.sent)
            if method == "PUT"]


@pytest.mark.parametrize("size", [100, 2 * PART + 5])
def test_the_server_is_told_the_hash_of_what_it_keeps(faulty, size):
    faults, store = faulty
    data = noise(size)
    store.put("k", data)
    want = [hashlib.sha256(data[at:at + PART]).digest() for at in range(0, size, PART)]
    assert sorted(sums(faults)) == sorted(base64.b64encode(one).decode() for one in want)


@pytest.mark.parametrize("status, code", [(400, "InvalidRequest"), (501, "NotImplemented")])
@pytest.mark.parametrize("size", [100, 2 * PART + 5])
def test_a_server_that_takes_no_hashes_is_asked_without(faulty, size, status, code):
    faults, store = faulty
    data = noise(size)
    faults.fault = lambda method, path, n: (status, code) if any(
        name.lower().startswith("x-amz-checksum") for name in faults.sent[n]) else None
    store.put("k", data)
    assert store.get("k") == data and not any(sums(faults)[size == 100:])
