"""How far a program is, and what it leaves: through the command, HTTP and redis-cli."""
import json
import subprocess

import pytest

from cluster import ApiError, log_lines
from harness import wait_until
from worker_harness import job_of

CONTROL = """echo '{"t":"progress","step":%d,"total":%d}' >&3\n"""


def key(job, name):
    return f"stoker:{{default}}:{name}:{job.rsplit('-', 1)[1]}"


def redis_cli(cluster, *args):
    done = subprocess.run(["redis-cli", "-s", str(cluster.redis.socket), *args], capture_output=True, text=True,
                          check=True, timeout=10)
    return done.stdout.rstrip("\n")


# ---- progress ----

@pytest.mark.parametrize("lines", [
    ['echo step 120/5000 loss 2.5'], ['echo step=120 steps=5000 loss=2.5'],
    ["""echo '{"step": 120, "total_steps": 5000, "loss": 2.5}'"""],
    ["""echo '{"t":"metric","step":120,"steps":5000,"loss":2.5}' >&3"""],
    ["""echo '{"t":"progress","step":120,"total":5000}' >&3"""],
    ["echo step 119/5000", "echo Step 120 loss=1.0"],
])
def test_the_total_comes_from_what_it_says(cluster, tmp_path, lines):
    gate = tmp_path / "gate"
    job = cluster.submit(job_of("\n".join(lines) + f"\nwhile [ ! -e {gate} ]; do sleep 0.02; done"))
    found = wait_until(lambda: (lambda j: j if "total" in j else None)(cluster.job(job)), what="the total")
    assert (found["step"], found["total"]) == ("120", "5000") or found["step"] in ("119", "120")
    assert redis_cli(cluster, "HGET", key(job, "job"), "total") == "5000"
    gate.touch()
    done = cluster.wait_final(job)
    assert (done["step"], done["total"]) == ("120", "5000"), "the last step is told with the end"
    assert "120/5000" in cluster.cli("ls").stdout
    assert "left_ms" not in done and "left" not in cluster.cli("show", job).stdout


def test_steps_within_an_epoch_are_not_the_whole_way(cluster):
    job = cluster.submit(job_of('echo "Epoch [3/10], Step [100/600], Loss: 0.25"'))
    done = cluster.wait_final(job)
    assert done["step"] == "100" and "total" not in done


def test_the_time_left(cluster, tmp_path):
    gate = tmp_path / "gate"
    script = "\n".join(CONTROL % (step, 10000) + "sleep 0.1" for step in range(1, 15))
    job = cluster.submit(job_of(script + f"\nwhile [ ! -e {gate} ]; do sleep 0.02; done", lease="1s"))
    found = wait_until(lambda: (lambda j: j if j.get("step") == "14" and "left_ms" in j else None)(cluster.job(job)),
                       what="an estimate")
    pace = float(found["pace"])
    assert 100 <= pace < 1000
    assert 9000 * pace < found["left_ms"] <= 9986 * pace
    listed, = cluster.api("GET", "/api/v1/jobs")["jobs"]
    assert abs(listed["left_ms"] - found["left_ms"]) < 60 * pace
    text = cluster.cli("show", job).stdout
    assert "14/10000, about " in text and " left" in text
    assert "14/10000" in cluster.cli("ls").stdout and "left" in cluster.cli("ls").stdout
    gate.touch()
    cluster.wait_final(job)


def test_the_trainer_knows_its_total(cluster, tmp_path):
    data = tmp_path / "d.csv"
    data.write_text("\n".join(f"{i % 7},{i % 5},{'ab'[i % 2]}" for i in range(60)) + "\n")
    job = cluster.submit({"backend": "tinygrad", "train": {"task": "classifier", "data": str(data), "steps": 12,
                                                           "width": 4, "layers": 1}})
    done = cluster.wait_final(job, timeout=120)
    assert (done["state"], done["step"], done["total"]) == ("succeeded", "12", "12")


# ---- result ----

RESULT = '{"accuracy": 0.93, "empty": [], "text": "ä \\"quoted\\""}'


@pytest.mark.parametrize("script,kept", [
    ("cat > $STOKER_RESULT <<'X'\n" + RESULT + "\nX\n", RESULT),
    ("printf 0.93 > $STOKER_OUTPUT_DIR/result.json", "0.93"),
    ("""echo '{"t":"result","value":{"b":0.93,"a":[1,2.50]}}' >&3""", '{"a":[1,2.5],"b":0.93}'),
    ("""echo '{"t":"result","value":1}' >&3; echo '{"t":"result","value":null}' >&3""", "null"),
    ("""echo '{"t":"result","value":1}' >&3; echo 2 > $STOKER_RESULT""", "2"),
    ("""echo '{"loss": NaN, "x": [-Infinity]}' > $STOKER_RESULT""", '{"loss": "NaN", "x": ["-Infinity"]}'),
])
def test_a_result_through_every_door(cluster, script, kept):
    job = cluster.submit(job_of(script))
    done = cluster.wait_final(job)
    assert (done["state"], done["result_bytes"]) == ("succeeded", str(len(kept.encode())))
    assert cluster.cli("result", job).stdout == kept + "\n"
    status, text = cluster.request("GET", f"/api/v1/jobs/{job}/result")
    assert (status, text.rstrip("\n")) == (200, kept)
    assert redis_cli(cluster, "GET", key(job, "result")) == kept
    shown = redis_cli(cluster, "FCALL_RO", "stoker_show", "1", "stoker:{default}:meta", job.split("-")[1])
    assert json.loads(shown)["result"] == json.loads(kept) == cluster.show(job)["result"]
    text = cluster.cli("show", job).stdout
    assert "result " in text and f"stoker result {job}" in text


@pytest.mark.parametrize("script,said", [
    ("head -c 65537 /dev/zero | tr '\\0' 7 > $STOKER_RESULT", "it has 65537 bytes, at most 65536 are kept"),
    ("head -c 700000 /dev/zero | tr '\\0' 7 > $STOKER_RESULT", "it has more than 65536 bytes"),
    ("echo '{oops' > $STOKER_RESULT", "it is not JSON: line 1"),
    ("""echo '{"a":1,"a":2}' > $STOKER_RESULT""", "it is not JSON"),
    ("printf '\"\\377\"' > $STOKER_RESULT", "it is not JSON"),
    ("touch $STOKER_RESULT", "it is not JSON"),
    ("mkdir $STOKER_RESULT", "it is no regular file"),
    ("mkfifo $STOKER_RESULT", "it is no regular file"),
    ("ln -s /etc/passwd $STOKER_RESULT", "it cannot be opened"),
    ("for i in $(seq 101); do printf '['; done > $STOKER_RESULT; for i in $(seq 101); do printf ']'; done >> "
     "$STOKER_RESULT", "it is nested more than 100 deep"),
])
def test_what_is_no_result_is_said_and_changes_nothing(cluster, script, said):
    job = cluster.submit(job_of(script))
    done = cluster.wait_final(job)
    assert done["state"] == "succeeded" and "result_bytes" not in done
    line, = [t for t in log_lines(cluster.log_text(job), 1, "stoker") if "is not kept" in t]
    assert line.startswith("the result in result.json is not kept: ") and said in line
    assert not cluster.redis.client().exists(key(job, "result"))


def test_a_result_of_the_largest_size(cluster):
    job = cluster.submit(job_of("""(printf '"'; head -c 65534 /dev/zero | tr '\\0' x; printf '"') > $STOKER_RESULT"""))
    assert cluster.wait_final(job)["result_bytes"] == "65536"
    assert len(cluster.cli("result", job).stdout) == 65537
    assert len(cluster.cli("show", job).stdout) < 2000


def test_only_success_has_a_result(cluster):
    job = cluster.submit(job_of("echo 1 > $STOKER_RESULT; [ $STOKER_ATTEMPT = 2 ]"))
    assert cluster.wait_final(job)["attempt"] == "2"
    failed = cluster.submit(job_of("echo 1 > $STOKER_RESULT; exit 65"))
    assert "result_bytes" not in cluster.wait_final(failed)
    with pytest.raises(ApiError, match=f"job {failed} has no result: it is failed"):
        cluster.api("GET", f"/api/v1/jobs/{failed}/result")
    done = cluster.cli("result", failed, check=False)
    assert done.returncode and "only what succeeded has one" in done.stderr
    none = cluster.submit(job_of("true"))
    cluster.wait_final(none)
    assert f"job {none} left no result" in cluster.cli("result", none, check=False).stderr
    assert "no job default-99" in cluster.cli("result", "default-99", check=False).stderr
