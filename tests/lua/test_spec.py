"""What cjson would take and a strict reader would not, hints, and the values that a good spec stands for. The
sentences for bad specs are those of tests/specs/bad.yaml, at every door."""
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from harness import BUILD


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


# ---------------------------------------------------------------- shapes: lua/spec_shape.lua

def outcome(q, text):
    """What becomes of a spec: its values as the record has them, and what a worker is given; or why it is refused."""
    try:
        n = q.submit(text).rsplit("-", 1)[1]
    except ResponseError as error:
        return str(error)
    record = {name: value for name, value in q.job(n).items()
              if name not in ("uid", "entry", "submitted_ms", "due_ms", "token")}
    return record, q.redis.get(q.key(f"spec:{n}"))


def forget_shapes(q):
    q.redis.function_load((BUILD / "stoker.lua").read_text(), replace=True)


WORD = st.text(st.sampled_from('ab :,[]{}".\\/1é\n\t\0\x7f'), max_size=6) | st.sampled_from(
    ["x" * 64, "x" * 65, '"name":"', '"command":[', '"],"priority":9,"env":{"a":["', "1.", "a:b", "]", "\\"])
OTHERS = st.lists(st.sampled_from([
    ("priority", 9), ("env", {"name": "x"}), ("env", {"command": "x"}), ("lease", "2s"), ("lease", 1.5),
    ("tags", ["name"]), ("resources", {"cpus": 2}), ("retry", {}), ("delay", "2s"), ("tenant", "x")]),
    max_size=2).map(dict)
SPACED = st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")])


@st.composite
def spec_texts(draw):
    """Some that look alike: one with other words, and with what is no word."""
    others, spaced, order = draw(OTHERS), draw(SPACED), draw(st.permutations([0, 1, 2]))
    texts = []
    for _ in range(draw(st.integers(2, 4))):
        words = draw(st.lists(WORD, min_size=1, max_size=3) | WORD)
        parts = [{"command": words}, {"name": draw(st.sampled_from(["a", "b"]) | WORD)}, others]
        text = json.dumps({k: v for i in order for k, v in parts[i].items()}, separators=spaced,
                          ensure_ascii=draw(st.booleans()))
        damage = draw(st.sampled_from([""] * 24 + ['"', ",", "]", "\\", ":"]))
        at = draw(st.integers(0, len(text)))
        texts.append(text[:at] + damage + text[at:])
    return texts


def test_a_known_shape_changes_nothing(q):
    """What is made of a text does not depend on those that came before it."""
    shapes_met = []

    @settings(max_examples=int(os.environ.get("SHAPE_EXAMPLES", "60")), deadline=None, database=None,
              suppress_health_check=list(HealthCheck))
    @given(spec_texts())
    def check(texts):
        forget_shapes(q)
        warm = [outcome(q, text) for text in texts]
        for text, known in zip(texts, warm):
            forget_shapes(q)
            assert outcome(q, text) == known, text
        shapes_met.append(sum(isinstance(one, tuple) for one in warm))

    check()
    assert sum(count > 1 for count in shapes_met) > 5  # of what is refused nothing is known


@pytest.mark.parametrize("known,text", [
    ('{"command":["a"],"env":{"name":"x"}}', '{"command":["a"],"env":{"name":"y"}}'),
    ('{"env":{"name":"x"},"name" : "x","command":["a"]}', '{"env":{"name":"y"},"name" : "x","command":["a"]}'),
    ('{"name":"x","command":["a"],"env":{"A":"1"}}', '{"name":"y","command":["b","c"],"env":{"A":"1"}}'),
    ('{"name": "x", "command": ["a", "b"]}', '{"name": "y", "command": ["a"]}'),
    ('{"command":["a"],"name":"x"}', '{"command":["name\\":\\""],"name":"y"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["a"],"name":""}'),
    ('{"command":["a"],"name":"x"}', '{"command":["a",],"name":"x"}'),
    ('{"command":["a"],"name":"x"}', '{"command":[,"a"],"name":"x"}'),
    ('{"command":["a","b"],"name":"x"}', '{"command":["a""b"],"name":"x"}'),
    ('{"command":["a"],"name":"x"}', '{"command":[],"name":"x"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["a"],"name":"' + "x" * 65 + '"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["a]"],"name":"x[}"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["a\x01"],"name":"x"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["' + '","'.join("a" * 1024) + '"],"name":"x"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["' + '","'.join("a" * 1025) + '"],"name":"x"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["' + "a" * 131072 + '"],"name":"x"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["' + "a" * 131073 + '"],"name":"x"}'),
    ('{"command":["a"],"name":"x"}', '{"command":["a"],"name":"x","name":"y"}'),
    ('{"command":["a"],"name":"x","lease":3}', '{"command":["b"],"name":"y","lease":3}'),
], ids=lambda text: text[:60])
def test_a_shape_that_is_nearly_known(q, known, text):
    before = outcome(q, text)
    outcome(q, known)
    assert outcome(q, text) == before
    forget_shapes(q)
    assert outcome(q, text) == before


def test_more_shapes_than_are_kept(q):
    for n in range(200):
        assert q.submit(json.dumps({"command": ["a"], "env": {f"A{n}": "1"}})) == f"default-{n + 1}"


# ---------------------------------------------------------------- what stood under a number before

@pytest.mark.parametrize("spec", [{"command": ["x"]}, {"command": ["x"], "tenant": "a"}])
@pytest.mark.parametrize("by", ["submit", "bulk"])
def test_what_an_earlier_queue_left_is_gone(q, spec, by):
    q.redis.hset(q.key("job:1"), mapping={"state": "running", "uid": "1", "attempt": "3", "error": "an old one"})
    q.redis.hset(q.key("checkpoints:1"), "1-1", "{}")
    q.redis.rpush(q.key("job:2"), "a stranger's")
    text = json.dumps(spec)
    if by == "bulk":
        q.bulk("", text, "", text, "")
    else:
        q.submit(text), q.submit(text)
    for n in (1, 2):
        job = q.job(n)
        assert (job["state"], job["attempt"], job.get("error")) == ("queued", "0", None) and len(job["uid"]) == 16
    assert not q.redis.exists(q.key("checkpoints:1"))
