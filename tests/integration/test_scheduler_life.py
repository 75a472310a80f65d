"""The scheduler's own life: due jobs, several side by side, SIGTERM, kill -9, and Redis going away."""
import signal
import socket
import time
from collections import Counter

from harness import BUILD, Process, events_each, wait_until
from scheduler_harness import TOKEN, Follower, Runner, Scheduler


def queued_events(client, queue="default"):
    """How often each job was promoted."""
    entries = client.xrange(f"stoker:{{{queue}}}:events")
    return Counter(fields["job"] for fields in events_each(entries) if fields["event"] == "job.queued")


def test_due_jobs_are_promoted_in_time(scheduler):
    jobs = [scheduler.submit(delay=f"{delay}ms") for delay in (200, 400, 600, 1500)]
    for job in jobs:
        wait_until(lambda j=job: scheduler.job(j)["state"] == "queued", what=f"{job} is queued", every=0.05)
    for job in jobs:
        fields = scheduler.job(job)
        assert int(fields["queued_ms"]) - int(fields["submitted_ms"]) - {
            "default-1": 200, "default-2": 400, "default-3": 600, "default-4": 1500}[job] in range(0, 1200), fields


def test_a_lost_run_is_taken_back(scheduler):
    job = scheduler.submit(lease="1s")
    Runner(scheduler.redis_client())
    wait_until(lambda: scheduler.job(job)["state"] == "queued", what="the lease ended and the job is queued again")
    assert scheduler.job(job)["lost"] == "1"


def test_a_queue_that_was_asked_for_is_made(scheduler):
    client = scheduler.redis_client()
    client.sadd("stoker:queues", "gpu")
    wait_until(lambda: client.exists("stoker:{gpu}:meta"), 5, "the queue's meta")
    assert client.hget("stoker:{gpu}:meta", "installation") == client.get("stoker:installation")
    assert client.fcall("stoker_submit", 1, "stoker:{gpu}:meta", '{"command":["true"]}') == "gpu-1"


def test_the_bound_on_finished_jobs_is_loud(scheduler):
    client = scheduler.redis_client()
    client.hset("stoker:{default}:meta", "max_finished", 2)
    for _ in range(5):
        scheduler.api("POST", f"/jobs/{scheduler.submit()}/cancel")
    wait_until(lambda: client.zcard("stoker:{default}:jobs:cancelled") == 2, 5, "the oldest were dropped")
    wait_until(lambda: "THE BOUND ON FINISHED JOBS IS REACHED" in scheduler.process.text(), 5, "it is said loudly")
    events = client.xrange("stoker:{default}:events")
    assert any(fields["event"] == "retention.dropped" for _, fields in events)
    assert scheduler.local("GET", "/api/v1/jobs/default-1").status == 404
    assert scheduler.job("default-5")["state"] == "cancelled"


def test_two_side_by_side_do_no_harm(tmp_path, scheduler, redis):
    other = Scheduler(tmp_path, redis.url, name="other")
    try:
        jobs = [(scheduler, other)[i % 2].submit(delay=f"{300 + i}ms") for i in range(40)]
        for job in jobs:
            wait_until(lambda j=job: other.job(j)["state"] == "queued", what=f"{job} is queued", every=0.02)
        assert queued_events(redis.client()) == Counter(jobs)
        assert scheduler.redis_client().get("stoker:installation")
        follower = Follower(other, f"/jobs/{jobs[0]}/follow").start()
        scheduler.api("POST", f"/jobs/{jobs[0]}/cancel")
        follower.wait_closed()
        assert follower.lines[-1]["kind"] == "end"
    finally:
        other.stop()


def test_killed_and_started_again_promotes_once(tmp_path, scheduler, redis):
    jobs = [scheduler.submit(delay=f"{200 + 20 * i}ms") for i in range(30)]
    wait_until(lambda: len(queued_events(redis.client())) > 5, what="some are promoted")
    scheduler.process.kill()
    assert scheduler.socket.exists()  # what it left behind is replaced
    scheduler.start()
    for job in jobs:
        wait_until(lambda j=job: scheduler.job(j)["state"] == "queued", what=f"{job} is queued", every=0.02)
    assert queued_events(redis.client()) == Counter(jobs)


def test_sigterm_ends_streams_and_leaves_nothing(scheduler):
    job = scheduler.submit()
    follower = Follower(scheduler, f"/jobs/{job}/follow?logs=1").start()
    follower.wait("job")
    port = scheduler.port()
    assert scheduler.process.stop() == 0
    follower.wait_closed()
    assert follower.of("end") == []  # cut, not over: the reader comes back
    assert not scheduler.socket.exists()
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", port)) != 0


def test_sigterm_finishes_what_is_under_way(scheduler, redis):
    scheduler.submit()
    redis.process.signal(signal.SIGSTOP)
    with scheduler.raw() as connection:
        connection.sendall(f"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
                           .encode())
        assert scheduler.local("GET", "/livez").status == 200  # so the one before has been read, too
        scheduler.process.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in scheduler.process.text(), what="it stops")
        redis.process.signal(signal.SIGCONT)
        said = b""
        while chunk := connection.recv(65536):
            said += chunk
    assert b" 200 " in said.split(b"\r\n")[0] and b"Connection: close" in said and b"default-1" in said
    assert scheduler.process.popen.wait(10) == 0


def test_an_answer_that_never_comes_does_not_stop_the_stop(scheduler, redis):
    redis.process.signal(signal.SIGSTOP)
    try:
        with scheduler.raw() as connection:
            connection.sendall(f"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
                               .encode())
            assert scheduler.local("GET", "/livez").status == 200
            started = time.monotonic()
            assert scheduler.process.stop() == 0
            assert 4 < time.monotonic() - started < 9
    finally:
        redis.process.signal(signal.SIGCONT)


def test_redis_away_and_back(scheduler, redis):
    job = scheduler.submit()
    redis.kill()
    wait_until(lambda: scheduler.local("GET", "/readyz").status == 503, what="it noticed")
    for method, path in [("GET", "/jobs"), ("GET", f"/jobs/{job}"), ("GET", f"/jobs/{job}/follow"), ("POST", "/jobs"),
                         ("GET", "/queues")]:
        answer = scheduler.local(method, f"/api/v1{path}", {"command": ["true"]} if method == "POST" else None)
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0, answer.text
        assert answer.json()["kind"] == "unavailable" and "redis" in answer.json()["detail"]
    assert scheduler.local("GET", "/livez").status == 200
    report = scheduler.api("GET", "/doctor")
    assert report["ok"] is False and "cannot be reached" in report["checks"][0]["detail"]
    redis.start()
    wait_until(lambda: scheduler.local("GET", "/readyz").status == 200, what="it recovered by itself")
    assert scheduler.job(job)["state"] == "queued"
    assert scheduler.submit() == "default-2"
    log = scheduler.process.text()
    assert log.count("redis is away") == 1  # said once, however often it was tried


def test_it_starts_without_redis_and_is_ready_when_it_comes(tmp_path, redis):
    redis.kill()
    scheduler = Scheduler(tmp_path, redis.url, wait=False)
    try:
        wait_until(lambda: answers(scheduler, "/livez") == 200, what="it lives")
        assert answers(scheduler, "/readyz") == 503
        redis.start()
        scheduler.wait_ready()
        assert scheduler.tcp("GET", "/readyz").status == 200
    finally:
        scheduler.stop()


def answers(scheduler, path):
    try:
        return scheduler.local("GET", path).status
    except OSError:
        return None


def refused(folder, *options):
    process = Process([BUILD / "stoker-scheduler", *[str(o) for o in options]], folder / "refused.log")
    code = process.popen.wait(10)
    return code, process.text()


def test_what_it_refuses_to_start_with(tmp_path, scheduler, redis):
    base = ["--redis-url", redis.url]
    (tmp_path / "short").write_text("x\n")
    (tmp_path / "plain").write_text("no socket")
    rows = [
        (["--listen", "127.0.0.1:0"], "needs a token"),
        (["--listen", "127.0.0.1:0", "--token-file", tmp_path / "none"], "cannot read the token file"),
        (["--listen", "127.0.0.1:0", "--token-file", tmp_path / "short"], "shorter than 16"),
        (["--listen", "nowhere"], "no address:port"),
        (["--listen", "example.com:80"], "no numeric address"),
        (["--listen", "unix:relative"], "absolute"),
        (["--listen", f"unix:{tmp_path}/plain"], "is no socket"),
        (["--listen", f"unix:{scheduler.socket}"], "somebody listens"),
        (["--listen", ""], "nothing to listen on"),
        (["--listen", f"unix:{tmp_path}/x.sock", "--redis-url", "http://x"], "unix:///path"),
        (["--lisen", "x"], "lisen"),
    ]
    for i, (options, says) in enumerate(rows):
        code, text = refused(tmp_path / str(i), *base, *options)
        assert code != 0 and says in text, (options, text)
    assert (tmp_path / "plain").read_text() == "no socket"
    assert scheduler.local("GET", "/livez").status == 200  # the one that listens was not disturbed


def test_systemd_is_told(tmp_path, redis):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(15)
        process = Process([BUILD / "stoker-scheduler", "--redis-url", redis.url, "--listen", f"unix:{tmp_path}/n.sock"],
                          tmp_path / "notify.log", env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert listener.recv(100) == b"READY=1"
        process.signal(signal.SIGTERM)
        assert listener.recv(100) == b"STOPPING=1"
        assert process.popen.wait(10) == 0
