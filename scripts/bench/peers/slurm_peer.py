"""Slurm on this machine alone, for scripts/bench/queue_bench.py: slurmctld and slurmd in a folder of their own, on
loopback, without munge. One array of jobs, the output of each in a file."""
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from harness import Process, wait_until
from measure import Unavailable

# What makes it faster, and what it needs in order to run in a folder and without systemd or cgroups.
CONFIG = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,default_queue_depth=10000
MaxArraySize=100000
MaxJobCount=100000
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=bench Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:{share}
"""
SHARE = 128  # jobs a processor: it starts new ones about once a second, so that the more at once the better up to there


def free_ports():
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Slurm:
    def __init__(self, folder):
        for program in ("slurmctld", "slurmd", "sbatch", "squeue", "sinfo"):
            if not shutil.which(program):
                raise Unavailable(f"{program} is not here: scripts/bootstrap-bench.sh installs it")
        if os.getuid() != 0:
            raise Unavailable("slurmd runs jobs only as root")
        self.folder, self.processes = Path(folder), []
        controller, node = free_ports()
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        config = self.folder / "slurm.conf"
        config.write_text(CONFIG.format(host=socket.gethostname(), controller=controller, node=node, user="root",
                                        folder=self.folder, cpus=os.cpu_count(), share=SHARE))
        self.environment = {**os.environ, "SLURM_CONF": str(config)}
        try:
            for name in ("slurmctld", "slurmd"):
                self.processes.append(Process([shutil.which(name), "-D", "-f", config], self.folder / f"{name}.log",
                                              env=self.environment))
            wait_until(self.is_idle, 30, "the node is idle", every=0.1)
        except AssertionError as error:
            why = " / ".join(p.text().strip().splitlines()[-1] for p in self.processes if p.text().strip())
            self.stop()
            raise Unavailable(f"Slurm does not run here: {error}; {why}") from None

    def call(self, *words):
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.stdout

    def is_idle(self):
        return self.call("sinfo", "-h", "-o", "%T").strip() == "idle"

    def rate(self, jobs):
        """Jobs a second, from before the array is submitted to the output of its last job."""
        outputs = self.folder / f"out-{time.monotonic_ns()}"
        outputs.mkdir()
        start = time.monotonic()
        answer = self.call("sbatch", f"--array=1-{jobs}", f"--output={outputs}/%a", "--chdir=/", "--wrap=/bin/true")
        if "Submitted" not in answer:
            raise Unavailable(f"sbatch did not take the jobs: {answer}")
        wait_until(lambda: not self.call("squeue", "-h").strip(), 300, "the array is over", every=0.1)
        span = time.monotonic() - start
        made = len(os.listdir(outputs))
        assert made == jobs, f"{made} outputs of {jobs} jobs"
        return jobs / span

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
