"""Webhooks from real schedulers to a real receiver: at least once, normally once, never none; nobody is held up."""
import json
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

import fsck
from harness import BUILD, ROOT, Process, wait_until
from receiver import Receiver
from scheduler_harness import Scheduler

OPTIONS = ["--webhook-allow", "127.0.0.0/8", "--webhook-timeout", "2s"]


@pytest.fixture
def scheduler(tmp_path, redis):
    s = Scheduler(tmp_path, redis.url, options=OPTIONS)
    yield s
    s.stop()
    assert fsck.check(redis.client()) == []


@pytest.fixture
def receivers():
    made = []

    def make(*args, **kwargs):
        made.append(Receiver(*args, **kwargs))
        return made[-1]
    yield make
    for one in made:
        one.close()


def add(scheduler, receiver, *on):
    made = scheduler.api("POST", "/webhooks", {"url": receiver.url, **({"on": list(on)} if on else {})})
    receiver.secret = made["secret"]
    return made["id"]


def hurry(scheduler, tries=12, backoff=50):
    scheduler.redis_client().hset("stoker:{default}:meta",
                                  mapping={"webhook_tries": tries, "webhook_backoff_ms": backoff})


def waiting(scheduler):
    return scheduler.api("GET", "/webhooks")["waiting"]


def dead(scheduler):
    return scheduler.api("GET", "/deliveries")["deliveries"]


def test_a_job_is_told_of_signed_and_once(scheduler, receivers):
    receiver = receivers()
    hook = add(scheduler, receiver, "job.*")
    job = scheduler.submit(name="it")
    scheduler.api("POST", f"/jobs/{job}/cancel", {"reason": "enough"})
    first, last = receiver.wait(2)
    assert {first["body"]["event"], last["body"]["event"]} == {"job.submitted", "job.cancelled"}
    cancelled = next(g for g in receiver.got if g["body"]["event"] == "job.cancelled")
    body = cancelled["body"]
    assert (body["job"], body["state"], body["name"], body["reason"]) == (job, "cancelled", "it", "enough")
    assert cancelled["id"] == body["id"] and cancelled["method"] == "POST" and cancelled["path"] == "/hook?x=1"
    assert cancelled["type"] == "application/json" and cancelled["agent"].startswith("stoker/")
    assert all(g["signed"] and abs(g["age"]) < 5 for g in receiver.got)
    wait_until(lambda: waiting(scheduler) == 0, what="nothing waits")
    assert len(receiver.got) == 2
    (listed,) = scheduler.api("GET", "/webhooks")["webhooks"]
    assert (listed["id"], listed["on"]) == (hook, ["job.*"])
    assert receiver.secret not in scheduler.process.text()


def test_a_job_brings_its_own(scheduler, receivers):
    receiver = receivers()
    receiver.secret = scheduler.api("POST", "/webhook-secret", {})["secret"]
    job = scheduler.submit(webhook={"url": receiver.url})
    scheduler.submit()
    scheduler.api("POST", f"/jobs/{job}/cancel")
    (got,) = receiver.wait(1)
    assert got["signed"] and got["body"]["event"] == "job.cancelled" and got["body"]["job"] == job
    assert re.search(rf"tells +{re.escape(receiver.url)} of its end\n", cli(scheduler, "show", job).stdout)


def test_batches_bring_their_own(scheduler, receivers, tmp_path):
    """By HTTP, in a file with a graph, and in a sweep."""
    hurry(scheduler)
    receiver = receivers(answer=lambda n: 500 if n < 1 else 204)
    receiver.secret = scheduler.api("POST", "/webhook-secret", {})["secret"]
    then = tmp_path / "then.yaml"
    then.write_text("command: x\nname: report\ndelay: 1h\n")
    made = cli(scheduler, "batches", "set", "plain", "--webhook", receiver.url, "--size", "1", "--then", str(then))
    assert made.stdout == "plain\n", made.stderr
    scheduler.submit(batch="plain")
    scheduler.submit(batch="other")
    graph, sweep = tmp_path / "graph.yaml", tmp_path / "sweep.yaml"
    graph.write_text(f"batch: graph\nwebhook: {{url: '{receiver.url}'}}\njobs: [{{command: a}}, {{command: b}}]\n")
    sweep.write_text("command: x\nbatch: sweep\nsweep: {grid: {a: [1, 2, 3]}, "
                     f"webhook: {{url: '{receiver.url}'}}}}\n")
    for file in (graph, sweep):
        assert cli(scheduler, "submit", str(file)).returncode == 0
    assert cli(scheduler, "cancel", "--name", "*").returncode == 0
    receiver.wait(4)
    wait_until(lambda: waiting(scheduler) == 0, what="all is delivered")
    assert all(g["signed"] and g["body"]["event"] == "batch.done" for g in receiver.got)
    told = {g["id"]: g["body"] for g in receiver.got}
    assert sorted((b["batch"], b["count"], b["cancelled"]) for b in told.values()) == [
        ("graph", 2, 2), ("plain", 1, 1), ("sweep", 3, 3)]
    assert len(receiver.got) == 4, "one was refused first, and tried again"
    plain, = [b for b in scheduler.api("GET", "/batches")["batches"] if b["id"] == "plain"]
    assert plain["webhook"] == receiver.url and scheduler.job(plain["then_job"])["name"] == "report"


@pytest.mark.parametrize("args, sentence", [
    (("set",), "expected `batches`, or `batches` with set and a NAME"), (("make", "b"), "expected `batches`"),
    (("--size", "3"), "are for `batches set NAME`"), (("set", "b", "--watch"), "--watch is for the list"),
    (("set", "b", "--webhook", "nowhere"), "webhook.url: expected a URL"), (("set", "a b"), "expected a batch id"),
    (("set", "b", "--size", "0"), "size"), (("set", "b", "--then", "/nowhere.yaml"), "/nowhere.yaml")])
def test_batches_that_the_command_refuses(scheduler, args, sentence):
    done = cli(scheduler, "batches", *args)
    assert done.returncode == 2 and sentence in done.stderr, done
    assert scheduler.api("GET", "/batches")["batches"] == []


def test_a_large_graph_brings_one(scheduler, receivers):
    receiver = receivers()
    receiver.secret = scheduler.api("POST", "/webhook-secret", {})["secret"]
    jobs = [{"command": "x", "name": f"j{i}"} for i in range(150)]
    scheduler.api("POST", "/jobs", {"jobs": jobs, "batch": "big", "webhook": {"url": receiver.url}})
    assert cli(scheduler, "cancel", "--name", "*").returncode == 0
    assert receiver.wait(1)[0]["body"]["cancelled"] == 150


def test_refusals_of_the_receiver_are_tried_again(scheduler, receivers):
    hurry(scheduler)
    receiver = receivers(answer=lambda n: 500 if n < 3 else 204)
    add(scheduler, receiver, "job.submitted")
    scheduler.submit()
    got = receiver.wait(4)
    assert len({g["id"] for g in got}) == 1, "the same message"
    wait_until(lambda: waiting(scheduler) == 0, what="it is delivered")
    assert all(g["signed"] for g in got) and len(got) == 4


def test_a_receiver_that_is_down_gets_it_when_it_is_up(scheduler, receivers):
    hurry(scheduler, tries=100)
    gone = receivers()
    add(scheduler, gone, "job.submitted")
    gone.close()
    job = scheduler.submit()
    client = scheduler.redis_client()
    wait_until(lambda: any(client.hget(k, "error") for k in client.keys("stoker:{default}:delivery:*")),
               what="it failed")
    back = receivers(gone.secret, port=gone.port)
    assert back.wait(1)[0]["body"]["job"] == job


def test_what_is_given_up_can_be_looked_at_and_sent_again(scheduler, receivers):
    hurry(scheduler, tries=2)
    receiver = receivers(answer=lambda n: 500 if n < 2 else 200)
    add(scheduler, receiver, "job.submitted")
    job = scheduler.submit()
    (given_up,) = wait_until(lambda: dead(scheduler), what="it is given up")
    assert (given_up["error"], given_up["status"], given_up["tries"]) == ("it answered 500", "500", "2")
    assert given_up["body"]["job"] == job
    assert scheduler.api("GET", f"/deliveries/{given_up['delivery']}") == given_up
    assert "a webhook is given up" in scheduler.process.text()
    assert scheduler.api("POST", f"/deliveries/{given_up['delivery']}/resend") == {"count": 1, "dead": 0}
    receiver.wait(3)
    wait_until(lambda: waiting(scheduler) == 0 and not dead(scheduler), what="it is delivered")


def test_redirects_are_not_followed(scheduler, receivers):
    hurry(scheduler, tries=1)
    receiver = receivers(answer=lambda n: 302)
    add(scheduler, receiver, "job.submitted")
    scheduler.submit()
    (given_up,) = wait_until(lambda: dead(scheduler), what="it is given up")
    assert given_up["error"] == "it answered 302; redirects are not followed"
    assert [g["path"] for g in receiver.got] == ["/hook?x=1"]


@pytest.mark.parametrize("host, address", [
    ("127.0.0.1", "127.0.0.1"), ("localhost", "(127.0.0.1|::1)"), ("[::1]", "::1"), ("10.0.0.1", "10.0.0.1"),
    ("[::ffff:127.0.0.1]", "127.0.0.1"), ("169.254.169.254", "169.254.169.254"), ("2130706433", "127.0.0.1"),
    ("0x7f.1", "127.0.0.1"), ("0", "0.0.0.0"), ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1"),
])
def test_private_addresses_are_refused_however_they_are_spelled(tmp_path, redis, receivers, host, address):
    receiver = receivers()
    scheduler = Scheduler(tmp_path, redis.url)
    try:
        scheduler.api("POST", "/webhooks", {"url": f"http://{host}:{receiver.port}/", "on": ["job.submitted"]})
        scheduler.submit()
        (given_up,) = wait_until(lambda: dead(scheduler), what="it is given up at once")
        assert re.match(address + " is no public address", given_up["error"]), given_up["error"]
        assert given_up["tries"] == "1" and receiver.got == []
    finally:
        scheduler.stop()


def test_a_slow_receiver_holds_up_nobody(scheduler, receivers):
    release = threading.Event()
    slow, fast = receivers(answer=lambda n: release.wait(1.5) and 200 or 200), receivers()
    add(scheduler, slow, "job.submitted")
    add(scheduler, fast, "job.submitted")
    begun = time.monotonic()
    for _ in range(60):
        scheduler.submit()
    fast.wait(60)
    assert time.monotonic() - begun < 10 and len(slow.got) < 60
    answer = time.monotonic()
    scheduler.api("GET", "/queues")
    assert time.monotonic() - answer < 1, "nor the scheduler's own loop"
    assert slow.most_under_way <= 8
    release.set()
    slow.wait(60, timeout=30)
    assert len({g["id"] for g in slow.got}) == 60


def test_who_never_answers_has_failed_after_the_timeout(scheduler, receivers):
    hurry(scheduler, tries=1)
    receiver = receivers(answer=lambda n: time.sleep(4) or 200)
    add(scheduler, receiver, "job.submitted")
    scheduler.submit()
    (given_up,) = wait_until(lambda: dead(scheduler), what="it is given up")
    assert given_up["error"] == "no answer within 2.0 s"


def test_two_schedulers_deliver_each_once(scheduler, receivers, tmp_path, redis):
    other = Scheduler(tmp_path, redis.url, "other", options=OPTIONS)
    try:
        receiver = receivers()
        add(scheduler, receiver, "job.submitted")
        jobs = [(scheduler, other)[i % 2].submit() for i in range(300)]
        receiver.wait(300)
        wait_until(lambda: waiting(scheduler) == 0, what="nothing waits")
        assert sorted(g["body"]["job"] for g in receiver.got) == sorted(jobs)
        assert all(g["signed"] for g in receiver.got)
    finally:
        other.stop()


def test_a_scheduler_that_is_killed_in_the_middle_loses_none(scheduler, receivers):
    release = threading.Event()
    receiver = receivers(answer=lambda n: release.wait(30) and 200 or 200)
    add(scheduler, receiver, "job.submitted")
    jobs = [scheduler.submit() for _ in range(20)]
    receiver.wait(1)
    scheduler.process.kill()
    release.set()
    scheduler.start()
    wait_until(lambda: {g["body"]["job"] for g in receiver.got} == set(jobs), 30, "each is delivered")
    wait_until(lambda: waiting(scheduler) == 0, 30, "and known to be")
    assert len({g["id"] for g in receiver.got}) == 20


def test_a_killed_scheduler_that_had_read_nothing_loses_none(scheduler, receivers):
    receiver = receivers()
    add(scheduler, receiver, "job.submitted")
    scheduler.process.kill()
    client = scheduler.redis_client()
    for _ in range(250):
        client.fcall("stoker_submit", 1, "stoker:{default}:meta", json.dumps({"command": ["true"]}))
    scheduler.start()
    receiver.wait(250)
    assert len({g["body"]["job"] for g in receiver.got}) == 250


def test_redis_restarts_in_the_middle(scheduler, receivers, redis):
    receiver = receivers(answer=lambda n: time.sleep(0.05) or 200)
    add(scheduler, receiver, "job.submitted")
    jobs = [scheduler.submit() for _ in range(50)]
    receiver.wait(5)
    redis.kill()
    redis.start()
    wait_until(lambda: {g["body"]["job"] for g in receiver.got} == set(jobs), 40, "each is delivered")


BAD_REQUESTS = [
    ("POST", "/webhooks", {}, 400, 'webhook.url: expected a URL of http or https'),
    ("POST", "/webhooks", {"url": "x"}, 400, 'webhook.url: expected a URL of http or https'),
    ("POST", "/webhooks", {"url": "http://x", "on": "job.failed"}, 400, "webhook.on: expected a JSON list of texts"),
    ("POST", "/webhooks", {"url": "http://x", "on": ["job.fail"]}, 400, "webhook.on[0]: expected the name of an event"),
    ("POST", "/webhooks", {"url": "http://x", "on": [1]}, 400, "webhook.on[0]: expected the name of an event"),
    ("POST", "/webhooks", {"url": "http://x", "secret": "short"}, 400, "secret: expected 16 to 256 printable ASCII"),
    ("POST", "/webhooks", {"url": "http://x", "secret": 5}, 400, "secret: expected 16 to 256 printable ASCII"),
    ("POST", "/webhooks", {"url": "http://x", "queue": "none"}, 404, "no queue none"),
    ("POST", "/webhooks", {"url": "http://x", "header": "x"}, 400, "header: unknown key"),
    ("POST", "/batches", {"batch": "b", "webhook": {"url": "x"}}, 400, "webhook.url: expected a URL of http or https"),
    ("POST", "/batches", {"batch": "b", "webhook": "http://x"}, 400, "webhook: expected an object"),
    ("POST", "/webhook-secret", {"secret": "a b"}, 400, "secret: expected 16 to 256 printable ASCII"),
    ("POST", "/webhooks/h9/remove", None, 404, "queue default has no webhook h9"),
    ("POST", "/webhooks/x/test", None, 400, "webhook: expected the id of a webhook, like h1"),
    ("POST", "/deliveries/x/resend", None, 404, "no dead delivery x"),
    ("GET", "/deliveries/1-1", None, 404, "no delivery 1-1"),
    ("GET", "/deliveries?limit=0", None, 400, "limit: expected an integer from 1 to 100"),
    ("GET", "/deliveries?cursor=x", None, 400, "cursor: expected an integer from 0"),
    ("GET", "/webhooks?queue=A", None, 400, 'queue: "A" is no name of a queue'),
]


def test_bad_requests(scheduler):
    for method, path, body, status, says in BAD_REQUESTS:
        answer = scheduler.local(method, "/api/v1" + path, body)
        assert answer.status == status, (method, path, body, answer.text)
        assert answer.json()["detail"].startswith(says), (method, path, body, answer.text)


def cli(scheduler, *args):
    return subprocess.run([BUILD / "stoker", "--url", f"unix:{scheduler.socket}", *args], capture_output=True,
                          text=True, timeout=30, check=False)


def test_the_command(scheduler, receivers, tmp_path):
    hurry(scheduler, tries=1)
    receiver = receivers()
    added = cli(scheduler, "webhooks", "add", receiver.url, "--on", "job.submitted,recovery.*")
    hook, secret = added.stdout.split()[0], added.stdout.split()[2]
    receiver.secret = secret
    assert (hook, added.returncode) == ("h1", 0) and secret.startswith("whsec_")
    listed = cli(scheduler, "webhooks").stdout
    assert receiver.url in listed and "job.submitted,recovery.*" in listed and secret not in listed
    tested = cli(scheduler, "webhooks", "test", "h1")
    assert tested.stdout == "delivered\n", tested.stderr
    assert receiver.got[0]["signed"] and receiver.got[0]["body"]["event"] == "webhook.test"
    receiver.answer = lambda n: 503
    failed = cli(scheduler, "webhooks", "test", "h1")
    assert failed.returncode == 6 and "it answered 503" in failed.stderr
    scheduler.submit()
    wait_until(lambda: len(dead(scheduler)) == 2, what="both are given up")
    assert cli(scheduler, "webhooks", "dead").stdout.count("it answered 503") == 2
    receiver.answer = lambda n: 200
    assert cli(scheduler, "webhooks", "resend", "all").stdout == "2 to be sent again\n"
    wait_until(lambda: waiting(scheduler) == 0, what="they are delivered")
    file = tmp_path / "secret"
    file.write_text("my-very-own-secret\n")
    own = cli(scheduler, "webhooks", "add", receiver.url, "--secret-file", str(file))
    assert own.stdout == "h2\n" and own.returncode == 0
    assert cli(scheduler, "webhooks", "secret").stdout.startswith("secret  whsec_")
    assert cli(scheduler, "webhooks", "secret", "--secret-file", str(file)).stdout == ""
    assert cli(scheduler, "webhooks", "rm", "h2").returncode == 0
    assert [w["id"] for w in scheduler.api("GET", "/webhooks")["webhooks"]] == ["h1"]


def test_the_example_believes_only_what_is_signed(scheduler, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret = tmp_path / "secret"
    secret.write_text("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3\n")
    example = Process([sys.executable, ROOT / "examples/receive_webhooks.py", port, secret], tmp_path / "example.log")
    try:
        hurry(scheduler, tries=20, backoff=100)
        url = f"http://127.0.0.1:{port}/"
        cli(scheduler, "webhooks", "add", url, "--on", "job.cancelled", "--secret-file", str(secret))
        job = scheduler.submit()
        scheduler.api("POST", f"/jobs/{job}/cancel")
        wait_until(lambda: example.text() == f"job.cancelled {job} cancelled\n", what="it is told")
        cli(scheduler, "webhooks", "add", url, "--on", "job.submitted")  # with a secret that it does not know
        scheduler.submit()
        client = scheduler.redis_client()
        wait_until(lambda: "it answered 401" in [client.hget(k, "error") for k in client.keys("*:delivery:*")],
                   what="it is refused")
        assert "job.submitted" not in example.text()
    finally:
        example.stop()


WRONG_WORDS = [
    (["webhooks", "add"], 2, "expected list, add URL, rm ID"),
    (["webhooks", "drop", "h1"], 2, "expected list, add URL, rm ID"),
    (["webhooks", "add", "ftp://x"], 2, "webhook.url: expected a URL of http or https"),
    (["webhooks", "add", "http://x", "--on", "job.fail"], 2, "webhook.on[0]: expected the name of an event"),
    (["webhooks", "add", "http://x", "--on", ""], 0, ""),
    (["webhooks", "add", "http://x", "--secret-file", "/none"], 2, "cannot read the secret in /none"),
    (["webhooks", "rm", "h9"], 3, "queue default has no webhook h9"),
    (["webhooks", "rm", "a/b"], 2, "webhook: expected the id of a webhook, like h1"),
    (["webhooks", "resend", "x"], 3, "no dead delivery x"),
    (["webhooks", "--queue", "none"], 3, "no queue none"),
    (["submitters", "add"], 2, "expected `submitters`, `submitters add NAME`"),
    (["submitters", "add", "a b"], 2, "submitter: expected 1 to 64 letters"),
    (["submitters", "add", "app"], 0, ""),
    (["submitters", "list"], 0, ""),
    (["submitters", "rm", "app"], 0, ""),
]


def test_the_command_with_wrong_words(scheduler):
    for args, code, says in WRONG_WORDS:
        said = cli(scheduler, *args)
        assert said.returncode == code and says in said.stderr, said


def test_https_with_an_authority_of_its_own_and_no_proxy(tmp_path, redis, receivers):
    """The certificate is checked; what the environment says of proxies is not asked."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key,
                    "-out", certificate], check=True, capture_output=True)
    receiver = receivers(tls=(certificate, key))
    proxy = {"https_proxy": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    allow = ["--webhook-allow", "127.0.0.1,::1"]
    for options, is_trusted in ([*allow, "--webhook-ca", certificate], True), (allow, False):
        scheduler = Scheduler(tmp_path, redis.url, options=options, env=proxy)
        try:
            hurry(scheduler, tries=1)
            hook = scheduler.api("POST", "/webhooks", {"url": receiver.url, "on": ["job.submitted"]})
            receiver.secret, before = hook["secret"], len(receiver.got)
            scheduler.submit()
            if is_trusted:
                assert receiver.wait(before + 1)[-1]["signed"]
            else:
                (given_up,) = wait_until(lambda s=scheduler: dead(s), what="it is given up")
                assert "certificate" in given_up["error"] and len(receiver.got) == before
            scheduler.api("POST", f"/webhooks/{hook['id']}/remove")
        finally:
            scheduler.stop()
