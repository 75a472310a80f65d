"""A folder that somebody else made: submit asks git about it, and nothing that its repository names is ever started.
Each trick is shown to work on plain git first, where it does."""
import os
import shutil
import subprocess

import pytest

import fsck
from code_harness import code_cluster, folder_of, submit

PLAIN = {"status": ["git", "status", "--porcelain"], "diff": ["git", "diff", "HEAD"]}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with code_cluster(tmp_path_factory.mktemp("cluster")) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


class Trap:
    """A repository with one changed file, and a command that leaves a mark."""

    def __init__(self, folder):
        self.root = folder_of(folder, {"other.txt": "x\n", "job.yaml": "{}", "main.sh": "true"})
        self.mark, self.script = folder / "ran", folder / "evil.sh"
        self.script.write_text(f"#!/bin/sh\ntouch {self.mark}\nexit 1\n")
        self.script.chmod(0o755)
        self.git("init", "-q", "-b", "trunk")
        self.commit()
        (self.root / "other.txt").write_text("y\n")

    def git(self, *args, cwd=None):
        return subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *args], cwd=cwd or self.root,
                              check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, cwd=None):
        self.git("add", "-A", cwd=cwd)
        self.git("commit", "-q", "-m", "one", cwd=cwd)

    def config(self, name, value, cwd=None):
        self.git("config", name, value, cwd=cwd)

    def attribute(self, text):
        (self.root / ".git/info").mkdir(exist_ok=True)
        (self.root / ".git/info/attributes").write_text(text + "\n")

    def has_run(self):
        ran = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return ran

    def works_on(self, plain):
        subprocess.run(PLAIN[plain], cwd=self.root, stdin=subprocess.DEVNULL, capture_output=True)
        assert self.has_run(), "the trick is none"
        (self.root / "other.txt").write_text("z\n")  # what that may have put into the index counts no more
        os.utime(self.root / "main.sh", (2, 2))


def fsmonitor(trap):
    trap.config("core.fsmonitor", trap.script)


def fsmonitor_of_the_worktree(trap):
    trap.config("core.repositoryFormatVersion", "1")
    trap.config("extensions.worktreeConfig", "true")
    trap.git("config", "--worktree", "core.fsmonitor", trap.script)


def clean(trap):
    trap.attribute("* filter=lfs")
    trap.config("filter.lfs.clean", trap.script)
    trap.config("filter.lfs.required", "true")


def clean_in_the_tree(trap):
    (trap.root / ".gitattributes").write_text("*.txt filter=Some.Odd\n")
    trap.config("filter.Some.Odd.clean", trap.script)


def clean_with_a_name_that_ends_the_option(trap):
    trap.attribute("* filter=a=b")
    trap.config("filter.a=b.clean", trap.script)


def clean_of_an_include(trap):
    trap.attribute("* filter=x")
    (trap.root / ".git/more").write_text(f'[FILTER "x"]\n\tClean = {trap.script}\n')
    trap.config("include.path", "more")


def clean_among_thousands(trap):
    trap.attribute("* filter=evil")
    many = "".join(f'[filter "f{i}"]\n\tclean = cat\n' for i in range(5000))
    with open(trap.root / ".git/config", "a") as f:
        f.write(f'{many}[filter "evil"]\n\tclean = {trap.script}\n')


def process(trap):
    trap.attribute("* filter=x")
    trap.config("filter.x.process", trap.script)


def external_diff(trap):
    trap.config("diff.external", trap.script)


def diff_driver(trap):
    trap.attribute("* diff=x")
    trap.config("diff.x.command", trap.script)


def textconv(trap):
    trap.attribute("* diff=x")
    trap.config("diff.x.textconv", trap.script)


def hook(trap):
    shutil.copy(trap.script, trap.root / ".git/hooks/post-index-change")
    os.utime(trap.root / "main.sh", (1, 1))  # the same with another time: the index is written again


def nested(trap):
    inner = trap.root / "inner"
    inner.mkdir()
    (inner / "a").write_text("a\n")
    trap.git("init", "-q", cwd=inner)
    trap.commit(cwd=inner)
    trap.git("add", "inner")
    trap.git("commit", "-q", "-m", "two")
    (inner / "a").write_text("b\n")
    return inner


def submodule(trap):
    trap.config("core.fsmonitor", trap.script, cwd=nested(trap))


def submodule_diff(trap):
    trap.config("diff.external", trap.script, cwd=nested(trap))
    trap.config("diff.submodule", "diff")


def lazily_fetched(trap, url):
    blob = trap.git("rev-parse", "HEAD:other.txt")
    (trap.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    trap.config("core.repositoryFormatVersion", "1")
    trap.config("extensions.partialClone", "origin")
    trap.config("remote.origin.promisor", "true")
    trap.config("remote.origin.url", url)


def ssh_command(trap):
    lazily_fetched(trap, "ssh://example.invalid/x")
    trap.config("core.sshCommand", trap.script)
    trap.config("protocol.ssh.allow", "always")


def upload_pack(trap):
    other = trap.root.parent / "other"
    trap.git("init", "-q", "--bare", other)
    lazily_fetched(trap, other)
    trap.config("remote.origin.uploadpack", trap.script)
    trap.config("protocol.file.allow", "always")


def ext_transport(trap):
    lazily_fetched(trap, f"ext::{trap.script}")
    trap.config("protocol.ext.allow", "always")


def aliases_and_pagers(trap):
    for name in ("alias.status", "alias.diff", "alias.config", "alias.rev-parse"):
        trap.config(name, f"!{trap.script}")
    for name in ("core.pager", "core.editor", "core.askPass", "pager.status", "pager.diff", "pager.config",
                 "interactive.diffFilter", "core.gitProxy", "credential.helper", "gpg.program"):
        trap.config(name, trap.script)


@pytest.mark.parametrize("trick, plain", [
    (fsmonitor, "status"), (fsmonitor_of_the_worktree, "status"), (clean, "status"), (clean_in_the_tree, "status"),
    (clean_with_a_name_that_ends_the_option, "status"), (clean_of_an_include, "diff"), (clean_among_thousands, "diff"),
    (process, "status"), (external_diff, "diff"), (diff_driver, "diff"), (textconv, "diff"), (hook, "status"),
    (submodule, "status"), (submodule_diff, "diff"), (ssh_command, "diff"), (upload_pack, "diff"),
    (ext_transport, "diff"), (aliases_and_pagers, None)], ids=lambda one: getattr(one, "__name__", ""))
def test_nothing_is_started(cluster, tmp_path, trick, plain):
    trap = Trap(tmp_path)
    trick(trap)
    if plain:
        trap.works_on(plain)
    done = submit(cluster, {"command": "sh main.sh", "workdir": ".", "hold": True}, trap.root)
    assert not trap.has_run()
    lineage = cluster.show(done.stdout.strip())["spec"]["lineage"]
    assert lineage["git_commit"] == trap.git("rev-parse", "HEAD"), "what can be told is told all the same"
    assert not trap.has_run()


def test_of_a_repository_of_somebody_else_nothing_is_told(cluster, tmp_path):
    if os.geteuid():
        pytest.skip("giving a folder away needs root")
    trap = Trap(tmp_path)
    fsmonitor(trap)
    subprocess.run(["chown", "-R", "65534", trap.root], check=True)
    done = submit(cluster, {"command": "sh main.sh", "workdir": ".", "hold": True}, trap.root)
    assert not trap.has_run()
    assert "git_commit" not in cluster.show(done.stdout.strip())["spec"]["lineage"]
