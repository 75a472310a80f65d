"""The roles of docker/users.acl on a real Redis: what each must be able to do, all of it, since a command that is
refused in the middle of a function leaves half a transition; and what each must be refused."""
import json
import re

import pytest
import redis as redis_py
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

import fsck
import test_walk
from conftest import BUILD, Queue
from harness import ROOT, RedisServer

K = "stoker:{default}:"
ROLES = ("submitter", "viewer", "worker", "scheduler", "deployer")
ACL = (ROOT / "docker/users.acl").read_text()
LIBRARY = (BUILD / "stoker.lua").read_text()

SCHEDULE = '{"command":"x","schedule":{"name":"t","every":60}}'

# Who calls each function, with what; FENCE stands for the job that runs. A new function needs its row.
CALLS = {
    "worker": {"worker": ["w", "{}"], "claim": ["w", '{"cpus":1}', 1, 2], "renew": ["FENCE"], "adopt": ["FENCE", "w"],
               "log": ["FENCE", 1, 1, "stdout", 1, "x"], "metric": ["FENCE", 1, "{}"], "drop": ["FENCE", "1-1"],
               "checkpoint": ["FENCE", "1-1", '{"sha256":"x"}'], "reject": ["FENCE", "1-1", "x"],
               "finish": ["FENCE", "error", "{}"]},
    "scheduler": {"create": ["i1"], "submit": ['{"command":"x"}', "k"], "bulk": ["", '{"command":"x"}', ""],
                  "cancel": [1], "corrupt": [1, 1], "retry": [1, 1], "promote": [], "reap": [], "prune": [],
                  "discard": [1, "", "last", 1],
                  "hold": [2], "release": [2], "update": [2, '{"priority":9}'], "remove": [2], "pause": ["pause"],
                  "each": ["cancel", "", "", "", 1, 2], "limit": [1, 2, 1000], "share": ["ada", 2],
                  "schedule": [SCHEDULE], "unschedule": ["s"], "schedule_pause": ["s", "pause"],
                  "schedule_refuse": ["s", 1, "x"], "fire": ["s", 1, 0, 0, 6], "worker_drain": ["w"],
                  "graph": ['{"jobs":[{"command":"x"}]}', "g"], "stage": ["s", 1, 0, '{"command":"x"}'],
                  "commit": ["s", "c"], "batch": ["b", '{"size":1}'], "watch": [1, "other-1"],
                  "archive_take": ["s1"], "sweep": ['{"sweep":{}}'], "reindex": ["s1", "begin"], "swept": ["0", ""],
                  "archive": [99, "da39a3ee5e6b4b0d3255bfef95601890afd80709"],
                  "tell": [1, "other-1", "failed"], "sent": ["x"],
                  "lend": [99, "latest", "other"], "borrow": [2, "other-1@latest", "", "x"],
                  "returned": [1, "other", 5, '{"ids":[]}'],
                  "worker_resume": ["w"], "submitter": ["add", "x"], "inbox": [],
                  "webhook_add": ["http://x.org", "", "x" * 16],
                  "webhook_remove": ["h1"], "webhook_secret": ["x" * 16], "webhook_test": ["h1"], "webhook_gather": [],
                  "repair": ["job 1", "index-missing"], "condemn": ["mark", "r1", "0" * 64],
                  "webhook_take": [1, 1000], "webhook_done": ["x", 1, "ok"], "webhook_resend": ["all"]},
    "viewer": {"about": [1], "borrowing": ["other-1"], "checkpoints": [1], "lent": [], "schedules": [],
               "schedule_show": ["s"], "due": [], "code_uses": [],
               "show": [1], "list": ["all", 10], "stats": [], "fsck": [],
               "batches": [], "members": ["graph-3"],
               "submitters": [], "webhooks": [],
               "webhook_dead": [], "webhook_delivery": ["1-1-1-h1"]},
}

MAY_FIND_NOTHING = ("lend", "commit", "members", "retry", "remove", "reject", "webhook_remove", "webhook_test",
                    "webhook_delivery", "unschedule", "schedule_pause", "schedule_refuse", "schedule_show", "fire")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A Redis with the users of docker/users.acl, each with its name as the password, and one for the test itself."""
    folder = tmp_path_factory.mktemp("acl")
    users = folder / "users.acl"
    users.write_text(re.sub(r"^user (\w+) on resetkeys", r"user \1 on >\1 resetkeys", ACL, flags=re.M) +
                     "user test on >test ~* &* +@all\n")
    server = RedisServer(folder, "--aclfile", users, "--appendfsync", "no")
    yield server
    server.process.kill()


@pytest.fixture
def who(guarded):
    """A connection by role. The library is loaded by the deployer."""
    clients = {role: redis_py.Redis(unix_socket_path=str(guarded.socket), username=role, password=role,
                                    decode_responses=True) for role in ROLES + ("test",)}
    clients["test"].flushall()
    clients["deployer"].function_load(LIBRARY, replace=True)
    yield clients
    for client in clients.values():
        client.close()


def test_the_file_gives_nobody_a_password():
    default, health, *roles = ACL.splitlines()
    assert default == "user default off resetpass ~* &* +@all", "nobody is it, but Redis, when it replays its file"
    assert health == "user health on nopass resetkeys resetchannels -@all +ping"
    assert all(re.match(r"user \w+ on resetkeys resetchannels -@all ", line) for line in roles)
    assert [line.split()[1] for line in roles] == list(ROLES)


def test_every_command_in_a_function_is_allowed_to_who_calls_functions():
    used = set(re.findall(r"(?:call|pcall|call_with)\(\s*'([A-Z]+)'", LIBRARY))
    used |= set(re.findall(r"(?:command = |LEN = |length = |hash = |list = |stream = |zset = |set = |string = |\{|"
                           r"and |or )'([A-Z]{3,})'", LIBRARY))
    used -= {"INVALID", "UTC"}  # words in quotes that are no commands
    used -= {"SCAN"}  # it tells the names of all keys: fsck does without where it is refused
    assert {"HSET", "XADD", "ZREM", "SCARD", "SREM", "LLEN"} <= used
    for role in ("worker", "scheduler"):
        line = next(l for l in ACL.splitlines() if l.startswith(f"user {role} "))
        allowed = {word[1:].split("|")[0].upper() for word in line.split() if word.startswith("+")}
        assert used - allowed == set(), f"{role} lacks them"


def test_every_function_has_a_caller(who):
    (library,) = who["deployer"].function_list("stoker", withcode=False)
    functions = library[library.index("functions") + 1]
    names = {f[f.index("name") + 1].removeprefix("stoker_") for f in functions}
    assert names == set().union(*CALLS.values())


@pytest.mark.parametrize("role, name", [(role, name) for role, calls in CALLS.items() for name in calls])
def test_every_function_under_its_role(who, role, name):
    Queue(who["scheduler"]).create("i1")
    for _ in range(2):
        who["scheduler"].fcall("stoker_submit", 1, K + "meta", '{"command":"x"}')
    who["worker"].fcall("stoker_worker", 1, K + "meta", "w", '{"state":"up"}')
    ((*pairs,),) = who["worker"].fcall("stoker_claim", 1, K + "meta", "w", '{"cpus":1}', 1, 1)
    claim = dict(zip(pairs[::2], pairs[1::2]))
    args = []
    for arg in CALLS[role][name]:
        args += [claim["n"], claim["uid"], claim["token"]] if arg == "FENCE" else [arg]
    call = who[role].fcall_ro if role == "viewer" else who[role].fcall
    try:
        call("stoker_" + name, 1, K + "meta", *args)
    except ResponseError as error:
        assert name in MAY_FIND_NOTHING and str(error).split()[0] in ("NOTFOUND", "CONFLICT"), error


def test_a_hand_over_under_its_roles(who):
    Queue(who["scheduler"]).create("i1")
    heard = who["worker"].pubsub(ignore_subscribe_messages=True)
    heard.subscribe(K + "given:c")
    heard.get_message(timeout=5)
    who["worker"].fcall("stoker_claim", 1, K + "meta", "w", '{"cpus":1}', 1, 1, "c")
    who["scheduler"].fcall("stoker_submit", 1, K + "meta", '{"command":"x"}')
    assert heard.get_message(timeout=5)
    assert who["test"].hget(K + "job:1", "state") == "running"
    claim, = who["worker"].fcall("stoker_claim", 1, K + "meta", "w", '{"cpus":1}', 1, 2, "c")
    assert claim[1] == "1"


class ByRole:
    """A client that calls each function as its role does; all else, which is the test's own doing, as the test."""

    def __init__(self, who):
        self.who = who

    def fcall(self, name, *args):
        role = "worker" if name.removeprefix("stoker_") in CALLS["worker"] else "scheduler"
        return self.who[role].fcall(name, *args)

    def __getattr__(self, name):
        return getattr(self.who["test"], name)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_walk_under_the_roles_meets_no_refusal(who, seed):
    """Every turn of every function, not only its first: any NOPERM is an error that the walk does not take."""
    queue = Queue(ByRole(who))
    queue.create("installation1")
    who["test"].hset(queue.key("meta"), mapping={"max_finished": 3, "max_jobs": 6})
    walk = test_walk.Walk(queue, seed)
    walk.run_id = who["test"].info("server")["run_id"]
    for _ in range(400):
        walk.step()
    assert fsck.check(who["test"]) == []
    for n in range(1, int(who["test"].hget(queue.key("meta"), "next")) + 1):
        if who["test"].exists(queue.key(f"job:{n}")):
            who["viewer"].fcall_ro("stoker_show", 1, queue.key("meta"), n)
    for state in ("all", "waiting", "queued", "running", "failed"):
        who["viewer"].fcall_ro("stoker_list", 1, queue.key("meta"), state, 100)
    assert json.loads(who["viewer"].fcall_ro("stoker_stats", 1, queue.key("meta")))["queue"] == "default"


def test_a_submitter_has_two_streams_and_no_more(who):
    app = who["submitter"]
    inbox, reply = "stoker:{default}:inbox:submitter", "stoker:{default}:reply:submitter"
    Queue(who["scheduler"]).create("i1")
    who["scheduler"].fcall("stoker_submitter", 1, K + "meta", "add", "submitter")
    entry = app.xadd(inbox, {"spec": '{"command":"x"}'})
    who["scheduler"].fcall("stoker_inbox", 1, K + "meta")
    assert app.xread({reply: "0"})[0][1][0][1] == {"entry": entry, "job": "default-1"}


EVERYBODY = [
    ["KEYS", "*"], ["SCAN", "0"], ["EVAL", "return 1", "0"], ["SCRIPT", "LOAD", "return 1"], ["FLUSHALL"], ["FLUSHDB"],
    ["FUNCTION", "DELETE", "stoker"], ["FUNCTION", "FLUSH"], ["FUNCTION", "RESTORE", "x"], ["CONFIG", "GET", "*"],
    ["CONFIG", "SET", "dir", "/"], ["DEBUG", "SLEEP", "0"], ["MODULE", "LIST"], ["REPLICAOF", "NO", "ONE"],
    ["SHUTDOWN", "NOSAVE"], ["SAVE"], ["BGREWRITEAOF"], ["MONITOR"], ["ACL", "LIST"], ["ACL", "SETUSER", "x"],
    ["CLIENT", "LIST"], ["CLIENT", "KILL", "ID", "1"], ["CLIENT", "PAUSE", "1"], ["SLOWLOG", "GET"],
    ["MIGRATE", "h", "1", K + "meta", "0", "1"], ["RESTORE", K + "meta", "0", "x"], ["DUMP", K + "meta"],
    ["PFADD", K + "x", "1"], ["SORT", K + "lanes"], ["BITOP", "NOT", K + "x", K + "y"], ["SWAPDB", "0", "1"],
    ["PSUBSCRIBE", "*"], ["RANDOMKEY"], ["RENAME", K + "meta", K + "x"], ["COPY", K + "meta", K + "x"],
    ["XGROUP", "DESTROY", K + "ready:cpu1:5:-", "workers"], ["XSETID", K + "events", "9-9"], ["SET", "other", "x"],
    ["GET", "other"], ["PUBLISH", "other", "x"], ["SUBSCRIBE", "other"], ["LATENCY", "RESET"], ["CLUSTER", "INFO"],
    ["GET", "stoker-secret:{default}"], ["SPUBLISH", "other", "x"], ["OBJECT", "HELP"], ["WAIT", "1", "1"],
]
NO_LIBRARY = [["FUNCTION", "LOAD", "#!lua name=x\n"], ["SET", "stoker:library", "x"]]
READER = [["HSET", K + "meta", "a", "b"], ["SET", K + "spec:1", "x"], ["XADD", K + "log:1", "*", "a", "b"],
          ["DEL", K + "meta"], ["FCALL", "stoker_stats", "1", K + "meta"], ["PUBLISH", K + "events", "x"],
          ["EXPIRE", K + "meta", "1"],
          ["ZADD", K + "waiting", "1", "1"], ["SADD", "stoker:queues", "x"], ["BZPOPMIN", K + "wake:cpu1", "1"]]
REFUSED = {
    "submitter": NO_LIBRARY + READER + [
        ["XADD", K + "inbox:other", "*", "a", "b"], ["XADD", K + "reply:submitter", "*", "a", "b"],
        ["XREAD", "STREAMS", K + "reply:other", "0"], ["XRANGE", K + "inbox:submitter", "-", "+"],
        ["XDEL", K + "inbox:submitter", "1-1"], ["XTRIM", K + "inbox:submitter", "MAXLEN", "0"], ["XLEN", K + "events"],
        ["XADD", K + "events", "*", "a", "b"], ["XADD", "stoker:{other}:inbox:submitter", "*", "a", "b"],
        ["FCALL_RO", "stoker_stats", "1", K + "meta"], ["HGETALL", K + "job:1"], ["SUBSCRIBE", K + "events"],
        ["XGROUP", "CREATE", K + "inbox:submitter", "g", "0"], ["SELECT", "1"], ["INFO"]],
    "viewer": NO_LIBRARY + READER + [["XACK", K + "ready:cpu1:5:-", "workers", "1-1"], ["INFO"], ["MULTI"],
                                       ["GET", "stoker-secret:{default}:x"]],
    "worker": NO_LIBRARY + [["SADD", "stoker:queues", "x"], ["SMEMBERS", "stoker:queues"], ["FUNCTION", "LIST"],
                            ["GET", "stoker-secret:{default}:x"], ["MULTI"], ["SET", "stoker:installation", "x"]],
    "scheduler": [["FUNCTION", "LOAD", "#!lua name=x\n"], ["BZPOPMIN", K + "wake:cpu1", "1"]],
    "deployer": READER + [["HGETALL", K + "meta"], ["GET", K + "spec:1"], ["INFO"]],
}


@pytest.mark.parametrize("role", ROLES)
def test_what_must_be_refused(who, role):
    for command in EVERYBODY + REFUSED[role]:
        if command[0] in ("DEBUG", "MODULE"):  # those are off by configuration, too, which is asked first
            assert "no permissions" in who["test"].execute_command("ACL", "DRYRUN", role, *command)
            continue
        with pytest.raises(NoPermissionError):
            who[role].execute_command(*command)
            pytest.fail(f"{role} may {' '.join(command)[:60]}")


def test_a_viewer_can_call_no_function_that_writes(who):
    Queue(who["scheduler"]).create("i1")
    for name, args in {**CALLS["worker"], **CALLS["scheduler"]}.items():
        with pytest.raises(ResponseError, match="write flag"):
            who["viewer"].fcall_ro("stoker_" + name, 1, K + "meta", *args)


def test_who_did_not_log_in_may_nothing(guarded, who):
    anybody = redis_py.Redis(unix_socket_path=str(guarded.socket))
    for command in (["PING"], ["GET", "stoker:library"], ["AUTH", "default", ""], ["AUTH", "default", "default"]):
        with pytest.raises((AuthenticationError, ResponseError)):
            anybody.execute_command(*command)
    anybody.close()


def test_anybody_may_ask_whether_it_lives(guarded, who):
    health = redis_py.Redis(unix_socket_path=str(guarded.socket), username="health", password="any")
    assert health.ping()
    with pytest.raises(NoPermissionError):
        health.get("stoker:library")
    health.close()
