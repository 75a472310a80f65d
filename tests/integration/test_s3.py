"""s3://bucket/prefix against a real server that checks every signature and hash, straight and through a proxy that
misbehaves."""
from datetime import datetime, timezone

import pytest

from s3 import PART, Store, noise


def test_a_listing_of_many_pages(s3_server, store):
    folder = s3_server.object(store.url.removeprefix("s3://runs/") + "/many")
    folder.mkdir(parents=True)
    for i in range(2345):
        (folder / f"{i:05d}").write_bytes(b"x")
    assert store.list("many/") == [f"many/{i:05d}" for i in range(2345)]
    assert store.list("man/") == []


@pytest.mark.parametrize("what", [(500, "InternalError"), (503, "SlowDown"), (500, ""), "cut", "lose"])
@pytest.mark.parametrize("size", [100, 2 * PART + 5])
def test_what_passes_is_tried_again(faulty, what, size):
    """Every third request fails, and no two in a row: each is repeated until it is done."""
    faults, store = faulty
    data = noise(size)
    faults.fault = lambda method, path, n: what if n % 3 == 1 else None
    store.put("k", data)
    assert store.get("k") == data
    assert store.list() == ["k"]


@pytest.mark.parametrize("what", ["lose", "complete-error", (500, "InternalError"), "cut"])
def test_the_completion_of_an_upload_whose_answer_says_little(faulty, what):
    faults, store = faulty
    data = noise(2 * PART)
    failed = []

    def fault(method, path, n):
        if method == "POST" and "uploadId" in path and not failed:
            failed.append(n)
            return what
        return None

    faults.fault = fault
    store.put("k", data)
    assert failed and store.get("k") == data
    if what == "lose":  # it had happened: seen by looking, not by doing it again
        assert faults.count("POST", "uploadId") == 1


def test_an_upload_that_cannot_be_completed_is_aborted(faulty):
    faults, store = faulty
    faults.fault = lambda method, path, n: "complete-error" if method == "POST" and "uploadId" in path else None
    said = store.fails("put", "k", data=noise(2 * PART))
    assert said.startswith("unavailable: ") and "InternalError" in said
    assert faults.count("DELETE", "uploadId") == 1
    faults.fault = lambda method, path, n: None
    assert store.run("sweep", "").decode() == "" and store.list() == []


@pytest.mark.parametrize("verb", ["put", "get", "stat", "remove"])
def test_a_404_of_somebody_elses_says_nothing_about_the_object(faulty, s3_server, verb):
    faults, store = faulty
    Store(s3_server.env, store.url).put("k", b"data")
    faults.fault = lambda method, path, n: (404, "")  # as a proxy answers that does not know the way
    assert store.fails(verb, "k", data=b"data").startswith("unavailable: ")
    faults.fault = lambda method, path, n: (404, "") if method == "HEAD" else None
    if verb in ("get", "stat"):
        assert "status 404, but it is there" in store.fails(verb, "k")


def test_a_listing_that_goes_round_in_circles_ends(faulty, s3_server):
    faults, store = faulty
    page = ("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
            "<Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>")
    faults.fault = lambda method, path, n: (200, page)
    assert "a listing in a form that is not known" in store.fails("list", "")
    assert len(faults.seen) == 2


def test_a_part_that_always_fails_ends_the_upload(faulty):
    faults, store = faulty
    faults.fault = lambda method, path, n: (503, "SlowDown") if "partNumber=2" in path else None
    said = store.fails("put", "k", data=noise(3 * PART))
    assert said.startswith("unavailable: ") and "SlowDown (503) on purpose" in said
    assert store.run("sweep", "").decode() == "" and store.list() == []


@pytest.mark.parametrize("verb", ["put", "stat"])
def test_a_clock_that_is_wrong_is_put_right_once(faulty, s3_server, verb):
    faults, store = faulty
    faults.fault = lambda method, path, n: "skew" if n == 0 else None
    Store(s3_server.env, store.url).put("k", b"data")
    store.run(verb, "k", data=b"data")
    sent = [datetime.strptime(t, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp() for t in faults.times]
    assert len(sent) == 2 and 590 < sent[1] - sent[0] < 620
    faults.fault = lambda method, path, n: "skew"
    said = store.fails("list", "")
    assert said.startswith("forbidden: ") and "RequestTimeTooSkewed" in said and "set the clock of this machine" in said
