"""A cluster whose Redis loses writes: a real replica that was cut off takes over, or the append-only file is cut. What
was acknowledged since `remember` is gone after `forget`."""
from cluster import Cluster
from harness import RedisServer, wait_until
from s3 import free_port

HOW = ("replica", "file")


class FailoverCluster(Cluster):
    def make_redis(self, options):
        self.options, self.name, self.servers = options, self.folder / "redis.sock", []
        return self.point_to(self.make_server())

    def make_server(self, *options):
        server = RedisServer(self.folder / f"redis-{len(self.servers)}", *self.options, "--port", str(free_port()),
                             "--repl-diskless-sync-delay", "0", *options)
        self.servers.append(server)
        return server

    def point_to(self, server):
        """Everybody connects to a name, which leads there from now on."""
        new = self.folder / "redis.sock.new"
        new.symlink_to(server.socket)
        new.replace(self.name)
        return server

    def redis_url(self, _kind, _i):
        return f"unix://{self.name}"

    def replica(self):
        """One that has everything up to now, and nothing of what comes."""
        master = self.redis.client()
        server = self.make_server("--replicaof", f"127.0.0.1 {master.config_get('port')['port']}")
        replica = server.client()

        def has_all():
            info = replica.info("replication")
            return (info["master_link_status"] == "up" and
                    info["slave_repl_offset"] >= master.info("replication")["master_repl_offset"])
        wait_until(has_all, what="the replica has everything")
        replica.replicaof("127.0.0.1", 1)  # nobody is there
        return server

    def file(self):
        """The append-only file, which is on disk up to the last answer."""
        found, = (self.redis.folder / "appendonlydir").glob("*.incr.aof")
        return found, found.stat().st_size

    def remember(self, how):
        return getattr(self, how)()

    def forget(self, moment):
        """Redis dies, and what comes after it knows what was known at that moment."""
        self.redis.kill()
        if isinstance(moment, RedisServer):
            moment.client().replicaof("NO", "ONE")
            self.redis = self.point_to(moment)
        else:
            path, size = moment
            assert path.stat().st_size > size
            with open(path, "r+b") as f:
                f.truncate(size)
            self.redis.start()
        for i in self.schedulers:
            wait_until(lambda i=i: self.is_ready(i), what=f"scheduler {i} is ready again")

    def stop(self):
        super().stop()
        for server in self.servers:
            server.stop()
