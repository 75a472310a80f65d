"""OpenStack Swift with its S3 API, on one node: a second server that shares no line with the first (tests/s3.py).

As a program (swift_server.py FOLDER WHICH) it is one of the four servers that such a node consists of; the package
python3-swift has all of them, and starts none by itself."""
import getpass
import http.client
import os
import sys
from pathlib import Path

from harness import Process, wait_until
from s3 import free_port

KEYS = {"STOKER_S3_ACCESS_KEY_ID": "test:tester", "STOKER_S3_SECRET_ACCESS_KEY": "secret/of+the=test"}
REGION = "eu-test-2"
PARTS = ("account", "container", "object", "proxy")
PIPELINES = {"proxy": "catch_errors gatekeeper healthcheck cache s3api tempauth bulk slo proxy-server",
             "inside": "catch_errors cache proxy-server"}  # without any authority: to make the bucket

COMMON = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
workers = 0
log_name = {which}
log_address = /nowhere
fallocate_reserve = 0
disable_fallocate = true
"""
STORAGE = COMMON + """
[pipeline:main]
pipeline = {which}-server
[app:{which}-server]
use = egg:swift#{which}
"""
PROXY = COMMON + """
[pipeline:main]
pipeline = {pipeline}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{nobody}
[filter:s3api]
use = egg:swift#s3api
location = {region}
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""


class SwiftServer:
    def __init__(self, folder):
        self.folder = Path(folder)
        (self.folder / "devices" / "one").mkdir(parents=True)
        self.check_attributes()
        self.ports = {which: free_port() for which in PARTS}
        self.endpoint = f"http://127.0.0.1:{self.ports['proxy']}"
        self.env = {**KEYS, "STOKER_S3_REGION": REGION, "STOKER_S3_ENDPOINT": self.endpoint}
        (self.folder / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n")
        for which in (*PARTS, "inside"):
            text = (PROXY if which in PIPELINES else STORAGE).format(
                folder=self.folder, port=self.ports.get(which, 1), which=which, region=REGION, nobody=free_port(),
                pipeline=PIPELINES.get(which), user=getpass.getuser(), secret=KEYS["STOKER_S3_SECRET_ACCESS_KEY"])
            (self.folder / f"{which}.conf").write_text(text)
        assert self.run("rings", *self.ports.values()).popen.wait(60) == 0, self.text()
        self.processes = [self.run(which) for which in PARTS]
        wait_until(self.answers, 60, "Swift answers")
        assert self.run("bucket").popen.wait(60) == 0, self.text()

    def run(self, which, *args):
        return Process(["/usr/bin/python3", __file__, self.folder, which, *args], self.folder / "swift.log")

    def text(self):
        return (self.folder / "swift.log").read_text()

    def check_attributes(self):
        """Swift keeps what it knows of an object in attributes of its file."""
        try:
            os.setxattr(self.folder, "user.stoker.test", b"1")
        except OSError as why:
            raise AssertionError(f"{self.folder}: its file system takes no attributes: {why}") from None

    def answers(self):
        assert all(one.alive() for one in self.processes), self.text()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.ports["proxy"], timeout=5)
            connection.request("GET", "/healthcheck")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def stop(self):
        for one in self.processes:
            one.kill()


def make_rings(folder, ports):
    from swift.common.ring import RingBuilder
    for which, port in ports.items():
        builder = RingBuilder(2, 1, 1)
        builder.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "one",
                         "weight": 1.0, "replication_ip": "127.0.0.1", "replication_port": port})
        builder.rebalance()
        builder.get_ring().save(f"{folder}/{which}.ring.gz")


def main(folder, which, *ports):
    from swift.common import utils
    utils.set_swift_dir(folder)
    if which == "rings":
        return make_rings(folder, dict(zip(PARTS[:3], map(int, ports))))
    if which == "bucket":
        from swift.common.internal_client import InternalClient
        return InternalClient(f"{folder}/inside.conf", "tests", 1).create_container("AUTH_test", "runs")
    from swift.common.wsgi import run_wsgi
    return run_wsgi(f"{folder}/{which}.conf", f"{which}-server")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
