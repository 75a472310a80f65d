#!/usr/bin/env python3
"""The figures of checkpoints, beside what others use for the same: prints a table and writes
<build>/bench-checkpoints.json.

    make bench-checkpoints          needs what `make check` needs, awscli, rclone and curl

One checkpoint of 1 GiB (900 MiB of float32 noise, the rest in 1,000 small files) goes to a real S3 server on this
machine (versitygw) and to a sink that only reads, and comes back. The peers do the same work: a tar of the folder.
Medians of three rounds, the contenders in turn."""
import argparse
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from cluster import Cluster  # noqa: E402
from harness import BUILD  # noqa: E402
from s3 import KEYS, REGION, S3Server  # noqa: E402
from table import line, row, write  # noqa: E402

SHIP = BUILD / "bench-ship"
MIB = 1 << 20


def make_checkpoint(folder, mib):
    """900 parts in 1,024 in one file of noise, the rest in 1,000 small ones."""
    folder.mkdir(parents=True)
    with open(folder / "model.bin", "wb") as f:
        for _ in range(mib * 900 // 1024):
            f.write(os.urandom(MIB))
    small = os.urandom(mib * 124 // 1024 * MIB // 1000)
    for i in range(1000):
        (folder / f"shard-{i:04d}.bin").write_bytes(small)


def timed(command, **options):
    """(wall, processor) seconds of a command and its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Bench:
    def __init__(self, folder, server, mib):
        self.folder, self.server, self.mib = folder, server, mib
        self.keys = KEYS["STOKER_S3_ACCESS_KEY_ID"], KEYS["STOKER_S3_SECRET_ACCESS_KEY"]
        plain = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self.env = {**plain, **server.env, "AWS_ACCESS_KEY_ID": self.keys[0],
                    "AWS_SECRET_ACCESS_KEY": self.keys[1], "AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
                    "RCLONE_CONFIG_S_TYPE": "s3", "RCLONE_CONFIG_S_PROVIDER": "Other",
                    "RCLONE_CONFIG_S_ACCESS_KEY_ID": self.keys[0], "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": self.keys[1],
                    "RCLONE_CONFIG_S_ENDPOINT": server.endpoint, "RCLONE_CONFIG_S_REGION": REGION,
                    "RCLONE_S3_NO_CHECK_BUCKET": "true", "RCLONE_CONFIG": "/dev/null"}
        self.curl = ["curl", "-fsS", "--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", ":".join(self.keys), "-H",
                     "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
        make_checkpoint(folder / "from" / "step-1", mib)
        self.tar = folder / "ready.tar"
        subprocess.run(["tar", "-cf", self.tar, "-C", folder / "from", "step-1"], check=True)
        self.summary, self.peak = None, 0

    def clear(self):
        """No path in the store is used twice: the next one ships where nothing is."""
        for folder in (self.server.root, self.server.folder / "sidecar"):
            shutil.rmtree(folder / "runs" / "bench", ignore_errors=True)

    def ship(self, env=None, url="s3://runs/bench"):
        if env is None:
            self.clear()
        done = subprocess.run([SHIP, "ship", url, self.folder / "from", "step-1"], env=env or self.env,
                              capture_output=True, text=True, check=True)
        summary, cost = done.stdout.splitlines()
        cost = json.loads(cost)
        if env is None:
            self.summary, self.peak = summary, max(self.peak, cost["peak_mib"])
        return cost["wall"], cost["cpu"]

    def aws(self):
        return timed(["sh", "-c", f"tar -cf - -C {self.folder}/from step-1 | aws --endpoint-url {self.server.endpoint} "
                                  f"s3 cp - s3://runs/aws.tar --expected-size {self.mib * MIB}"], env=self.env)

    def rclone(self):
        return timed(["sh", "-c", f"tar -cf - -C {self.folder}/from step-1 | rclone rcat s:runs/rclone.tar"],
                     env=self.env)

    def curl_put(self):
        return timed([*self.curl, "-T", self.tar, self.server.endpoint + "/runs/curl.tar"])

    def restore(self):
        into = self.folder / "into"
        shutil.rmtree(into, ignore_errors=True)
        for name in ("run", "checkpoints", "work"):
            (into / name).mkdir(parents=True)
        done = subprocess.run([SHIP, "restore", "s3://runs/bench", into], env=self.env, input=self.summary + "\n",
                              capture_output=True, text=True, check=True)
        cost = json.loads(done.stdout)
        self.peak = max(self.peak, cost["peak_mib"])
        return cost["wall"], cost["cpu"]

    def curl_get(self):
        into = self.folder / "plain"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        curl = " ".join(f"'{word}'" for word in [*self.curl, self.server.endpoint + "/runs/curl.tar"])
        return timed(["sh", "-c", f"{curl} | tar -xf - -C {into} && sync -f {into}"])


class Sink:
    """Reads what is sent and answers what S3 would; nothing is kept, so that it is never the limit."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.size = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, connection):
        buffer, space = b"", bytearray(4 * MIB)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
        while True:
            while b"\r\n\r\n" not in buffer:
                piece = connection.recv(65536)
                if not piece:
                    return
                buffer += piece
            head, buffer = buffer.split(b"\r\n\r\n", 1)
            request, *headers = head.decode().split("\r\n")
            method, path, _ = request.split(" ")
            length = next((int(h.split(":")[1]) for h in headers if h.lower().startswith("content-length:")), 0)
            left = length - len(buffer)
            buffer = b"" if left >= 0 else buffer[length:]
            while left > 0:
                left -= connection.recv_into(space, min(left, len(space)))
            connection.sendall(self.answer(method, path, length))

    def answer(self, method, path, length):
        if method == "PUT" and "partNumber=" in path:
            self.size += length
        body = {"uploads": "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
                "uploadId": "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"}.get(
                    path.partition("?")[2].split("=")[0], "") if method == "POST" else ""
        size = self.size if method == "HEAD" else len(body)
        if method == "HEAD":
            self.size = 0
        return (f"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: {size}\r\n\r\n"
                + (body if method != "HEAD" else "")).encode()


def training(seconds):
    """The steps a loop of numpy-free arithmetic does in that time, on one core at the usual priority."""
    code = ("import time, hashlib\nend, steps, data = time.monotonic() + %f, 0, bytes(1 << 20)\n"
            "while time.monotonic() < end:\n    hashlib.sha256(data).digest(); steps += 1\nprint(steps)" % seconds)
    return [sys.executable, "-c", code]


def slowdown(bench, rounds):
    """Steps a second of two training loops, alone and while the checkpoint goes out at the lowest priority."""
    spans = {"alone": [], "shipping": []}
    for _ in range(rounds):
        for name in spans:
            loops = [subprocess.Popen(training(4), stdout=subprocess.PIPE, text=True) for _ in range(2)]
            if name == "shipping":
                bench.clear()
                subprocess.run(["nice", "-n", "19", SHIP, "ship", "s3://runs/bench", bench.folder / "from", "step-1"],
                               env=bench.env, stdout=subprocess.DEVNULL, check=True)
            spans[name].append(sum(int(loop.communicate()[0]) for loop in loops))
    return statistics.median(spans["alone"]), statistics.median(spans["shipping"])


def medians(rounds, contenders):
    got = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            got[name].append(run())
    return {name: tuple(statistics.median(column) for column in zip(*values)) for name, values in got.items()}


def listing(folder, count=10000):
    """Milliseconds until the API has listed the newest checkpoints of a job that has so many: the median of 20."""
    with Cluster(folder, workers=0) as cluster:
        job = cluster.submit({"command": "true", "hold": True})
        summary = {"step": 0, "size": 1 << 30, "files": 7, "sha256": "0" * 64, "manifest_sha256": "0" * 64,
                   "token": "1", "uri": "s3://bucket/" + "x" * 80 + "/manifest.json",
                   "verified": "safetensors header and tensor spans",
                   "state": "committed", "loss": 0.5, "metrics": {"loss": 0.5}, "time_ms": 1795322847000}
        records = {f"1-{seq}": json.dumps({**summary, "seq": seq, "step": seq * 100}) for seq in range(1, count + 1)}
        cluster.redis.client().hset("stoker:{default}:checkpoints:1", mapping=records)
        times = []
        for _ in range(20):
            begun = time.monotonic()
            page = cluster.api("GET", f"/api/v1/jobs/{job}/checkpoints")
            times.append(1000 * (time.monotonic() - begun))
        assert page["count"] == count and page["checkpoints"][0]["seq"] == count
        return statistics.median(times)


def measure(bench, rounds):
    gib = bench.mib / 1024
    put = medians(rounds, {"stoker": bench.ship, "aws": bench.aws, "rclone": bench.rclone, "curl": bench.curl_put})
    mine = put["stoker"]
    for peer, label in (("aws", "tar | aws s3 cp -"), ("rclone", "tar | rclone rcat")):
        yield row("1 GiB checkpoint to S3, speed", gib * 1024 / mine[0], "MiB/s", label, gib * 1024 / put[peer][0],
                  "ratio >= 2.5")
        yield row("the same, processor", mine[1], "s", label, put[peer][1], "ratio < 0.5")
    yield row("1 GiB checkpoint to S3, speed", gib * 1024 / mine[0], "MiB/s", "curl -T, ready file",
              gib * 1024 / put["curl"][0], "ratio >= 0.6")
    sink = Sink()
    env = {**bench.env, "STOKER_S3_ENDPOINT": sink.endpoint}
    to_sink = medians(rounds, {"stoker": lambda: bench.ship(env)})["stoker"]
    yield row("the same to a sink that only reads", bench.mib * MIB / 1e9 / to_sink[0], "GB/s", must="value >= 0.9")
    get = medians(rounds, {"stoker": bench.restore, "curl": bench.curl_get})
    yield row("restore, verified, speed", bench.mib / get["stoker"][0], "MiB/s", "curl | tar x, synced",
              bench.mib / get["curl"][0], "ratio >= 0.7")
    yield row("memory of the helper, at most", bench.peak, "MiB", must="value < 100")
    yield row("listing the checkpoints of a job that has 10,000", listing(bench.folder / "listing"), "ms",
              must="value < 50")
    alone, shipping = slowdown(bench, rounds)
    yield row("steps of two loops while 1 GiB goes out, two cores", shipping, "steps", "alone", alone, "ratio >= 0.97")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--mib", type=int, default=1024)
    options = options.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}, "
          f"load before: {os.getloadavg()[0]:.1f}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="stoker-bench-"))
    server = S3Server(folder / "s3")
    rows = []
    try:
        for one in measure(Bench(folder, server, options.mib), options.rounds):
            rows.append(one)
            print(line(one), flush=True)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    write(BUILD / "bench-checkpoints.json", rows)
    return any(one["holds"] is False for one in rows)


if __name__ == "__main__":
    sys.exit(main())
