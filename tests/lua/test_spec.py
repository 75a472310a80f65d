"""What cjson would take and a strict reader would not, hints, and the values that a good spec stands for. The
sentences for bad specs are those of tests/specs/bad.yaml, at every door."""
import json

import pytest
from redis.exceptions import ResponseError


@pytest.mark.parametrize("text", [
    '{"command":"x","priority":0x5}', '{"command":"x","priority":05}', '{"command":"x","lease":1.}',
    '{"command":"x","lease":nan}', '{"command":"x","lease":Infinity}', '{"command":"a\nb"}', '{"command":"a\tb"}',
    '{"command":"x",}', "{'command':'x'}", '{"command":"x"} x', '{"command":"x"', '', '{"command":"\\x"}',
    '{"command":"x","command":"y"}', '{"command":"x","env":{"A":"1","A":"2"}}',
    '{"command":"x","env":{"A":"1","\\u0041":"2"}}',
])
def test_what_is_not_json(q, text):
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID spec: not valid JSON: "):
        q.submit(text)
    assert q.snapshot() == before


@pytest.mark.parametrize("text", [
    '{"command":["a:b","\\"c\\":","\\\\"],"env":{"A":"{\\"x\\":1.}"}}',
    '{"command":"x","tags":[],"env":{},"retry":null}',
    ' {\n\t"command" : "x" , "lease" : 1.5e1 } \n', '{"command":"\\u00e9 \\ud83d\\ude00"}', '{"command":"é 😀"}',
    '{"command":"x","retry":{"jitter":0.5,"backoff":"1.5 s"}}',
])
def test_what_is_json(q, text):
    q.submit(text)
    assert json.loads(q.show(1))["spec"] == json.loads(text)


@pytest.mark.parametrize("items", [["x", "a\0b"], ["\0"], ["x", 1], ["x", ["y"]], ["x", "a" * 131073], ["x", None]])
def test_what_is_no_item_of_a_command(q, items):
    with pytest.raises(ResponseError, match=r"^INVALID command\[\d\]: expected text of at most 131072 bytes"):
        q.submit(json.dumps({"command": items}))


def test_a_wrong_key_gets_a_hint(q):
    with pytest.raises(ResponseError, match=r"\| did you mean gpus\?$"):
        q.add(resources={"gpu": 1})
    with pytest.raises(ResponseError, match="known here: [^|]*$"):
        q.add(resources={"quantum_processors": 1})


def test_another_queue(q):
    assert q.add(queue="default") == "1"
    with pytest.raises(ResponseError, match="^INVALID queue: the spec says gpu, but it was submitted to queue default"):
        q.add(queue="gpu")


@pytest.mark.parametrize("lease,lease_ms", [("1s", "1000"), ("1.5 m", "90000"), (2, "2000"), ("2500ms", "2500"),
                                            (1.0004, "1000"), (None, "10000")])
def test_durations(q, lease, lease_ms):
    claim = q.start(lease=lease)
    assert claim["lease_ms"] == lease_ms


def test_a_delay_waits(q):
    q.add(delay="1h")
    job = q.job(1)
    assert (job["state"], job["reason"]) == ("waiting", "delay")
    assert 3595000 < int(job["due_ms"]) - q.now() <= 3600000
    q.add(delay=0)
    assert q.state(2) == "queued"
