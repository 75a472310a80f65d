"""The store against S3 servers that have nothing in common: versitygw and OpenStack Swift."""
import time
import urllib.error
import urllib.request

import pytest

from conftest import s3_url
from harness import wait_until
from s3 import MIB, PART, Store, noise


@pytest.fixture(params=["versitygw", "swift"])
def store(request):
    server = request.getfixturevalue({"versitygw": "s3_server", "swift": "swift_server"}[request.param])
    return Store(server.env, s3_url(request))


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, PART - 1, PART, PART + 1, 5 * PART, 6 * PART + 12345])
def test_there_and_back(store, size):
    data = noise(size)
    store.put("a/b.bin", data)
    assert store.get("a/b.bin") == data
    stat = store.stat("a/b.bin")
    assert int(stat[0]) == size and abs(int(stat[1]) - time.time() * 1000) < 60000


def test_an_object_is_replaced_removed_and_missing(store):
    store.put("x", b"one")
    store.put("x", b"two")
    assert store.get("x") == b"two"
    store.run("remove", "x")
    store.run("remove", "x")
    for verb in ("get", "stat"):
        assert store.fails(verb, "x").startswith(f"not-found: store {store.url}: ")


def test_every_letter_that_a_key_may_have(store):
    keys = ["a=b/c+d", "x@y:z,w", "under_score-and.dots/A9"]
    for key in keys:
        store.put(key, key.encode())
    assert store.list() == sorted(keys)
    assert [store.get(key).decode() for key in keys] == keys


def test_what_is_not_finished_is_not_there_and_is_swept(store):
    store.run("leave", "big", data=noise(3 * PART))
    store.run("leave", "other/big", data=noise(3 * PART))
    assert store.list() == []
    # A part that was on its way may arrive after the upload was aborted: then there is one more to abort.
    swept = [store.run("sweep", prefix).decode().split() for prefix in ("other/", "other/", "other/", "")]
    assert swept[0] == ["other/big"] and "big" in swept[3]
    wait_until(lambda: store.run("sweep", "") == b"", 30, "nothing is left")


@pytest.mark.parametrize("offset, length", [(PART - 3, 7), (1, -1), (2 * PART, 99 * MIB)])
def test_a_part_of_an_object(store, offset, length):
    data = noise(3 * PART)
    store.put("k", data)
    end = len(data) if length < 0 else offset + length
    assert store.run("range", "k", str(offset), str(length)) == data[offset:end]


def test_what_must_be_new(store):
    """Swift's S3 API does not know the condition: there the other one is put."""
    for _ in range(2):
        store.run("put-new", "k", data=b"first")
    said = store.fails("put-new", "k", data=b"other")
    assert store.get("k") == (b"first" if said.startswith("conflict: ") else b"other")
    assert said == "" or said.startswith("conflict: ")


def test_a_link_lets_anybody_read_one_object(store):
    store.put("a/b=c.tar", b"data")
    url = store.run("link", "a/b=c.tar", "60").decode().strip()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"data"
        assert answer.headers["content-disposition"] == 'attachment; filename="b=c.tar"'
    part = urllib.request.Request(url, headers={"Range": "bytes=1-2"})
    with urllib.request.urlopen(part) as answer:
        assert (answer.status, answer.read()) == (206, b"at")


@pytest.mark.parametrize("old, new", [("b.tar", "c.tar"), ("X-Amz-Expires=60", "X-Amz-Expires=90"),
                                      ("attachment", "inline"), ("X-Amz-Signature=", "X-Amz-Signature=0")])
def test_a_link_that_was_changed_is_refused(store, old, new):
    for key in ("a/b.tar", "a/c.tar"):
        store.put(key, b"data")
    url = store.run("link", "a/b.tar", "60").decode().strip()
    assert old in url
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.replace(old, new, 1))
    assert refused.value.code in (400, 403)


def test_a_link_ends(store):
    store.put("k", b"data")
    url = store.run("link", "k", "1").decode().strip()

    def is_refused():
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.HTTPError as refused:
            assert refused.code == 403
            return True
        return False

    wait_until(is_refused, 30, "it is refused after its end")


def test_a_wrong_secret(store):
    said = store.fails("put", "k", data=b"x", env={"STOKER_S3_SECRET_ACCESS_KEY": "wrong"})
    assert said.startswith(f"forbidden: store {store.url}: PUT k: SignatureDoesNotMatch (403)")
    assert "is the secret key right" in said
