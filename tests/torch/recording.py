"""A save as the sequence of what it did to its files, and the same again up to any byte of it.

strace records it. Writes through a mapping are not seen by it, nor by anybody: such saves are not recorded."""
import os
import re
import subprocess
from pathlib import Path

CALLS = "openat,creat,write,pwrite64,writev,ftruncate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,lseek"
CALL = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) = (-?\d+)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
FILE = re.compile(r"<((?:\\x[0-9a-f]{2})+)>")


def text(escaped):
    return bytes.fromhex(escaped.replace("\\x", ""))


def whole_lines(path):
    """A call that another thread interrupted stands in two lines."""
    begun = {}
    for line in Path(path).read_text().splitlines():
        pid = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[pid] = line[:-len("<unfinished ...>")].rstrip()
        elif " resumed>" in line:
            yield begun.pop(pid) + line.split(" resumed>", 1)[1]
        else:
            yield line


def record(args, folder, trace, env=None):
    """Runs args; what they did below folder, as (what, path, …) with paths relative to it."""
    subprocess.run(["strace", "-f", "-qq", "-y", "-xx", "-s", "100000000", "-o", trace, "-e", f"trace={CALLS}", *args],
                   check=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})})
    prefix, places, steps = bytes(folder) + b"/", {}, []

    def below(path):
        return path[len(prefix):].decode() if path.startswith(prefix) else None

    for line in whole_lines(trace):
        match = CALL.match(line)
        if not match or int(match[3]) < 0:
            continue
        call, args, result = match[1], match[2], int(match[3])
        texts = [text(found) for found in TEXT.findall(args)]
        if call in ("write", "pwrite64", "writev", "ftruncate", "lseek"):
            name = FILE.search(args)
            path = below(text(name[1])) if name else None
            if path is None:
                continue
            if call == "lseek":
                places[path] = result
            elif call == "ftruncate":
                steps.append(("size", path, int(args.rsplit(",", 1)[1])))
            else:
                at = int(args.rsplit(",", 1)[1]) if call == "pwrite64" else places[path]
                steps.append(("write", path, at, b"".join(texts)[:result]))
                if call != "pwrite64":
                    places[path] = at + result
            continue
        paths = [below(path if path.startswith(b"/") else text(FILE.search(args)[1]) + b"/" + path) for path in texts]
        if None in paths or not paths:
            continue
        if call.startswith("mkdir"):
            steps.append(("mkdir", paths[0]))
        elif call.startswith("unlink"):
            steps.append(("unlink", paths[0]))
        elif call.startswith("rename"):
            steps.append(("rename", *paths))
        elif "O_WRONLY" in args or "O_RDWR" in args or call == "creat":
            places[paths[0]] = 0
            steps.append(("open", paths[0], "O_TRUNC" in args or call == "creat"))
    return steps


def weight(step):
    """How many places there are at which it can be cut."""
    return max(1, len(step[3])) if step[0] == "write" else 1


class Replay:
    """Does the same once more in another folder, further and further. Its clock is its own: one tick a step, so that
    what is written later is newer however fast this goes."""

    def __init__(self, steps, folder):
        self.steps, self.folder = steps, Path(folder)
        self.done, self.within, self.clock = 0, 0, 10**18

    def tick(self, path):
        self.clock += 10**6
        if path.exists():
            os.utime(path, ns=(self.clock, self.clock))

    def do(self, step, upto=None):
        what, path = step[0], self.folder / step[1]
        if what == "mkdir":
            path.mkdir()
        elif what == "unlink":
            path.unlink()
        elif what == "rename":
            path.rename(self.folder / step[2])
            return
        elif what == "size":
            os.truncate(path, step[2])
        elif what == "open":
            path.open("wb" if step[2] else "ab").close()
            if not step[2]:
                return
        else:
            with path.open("r+b") as file:
                file.seek(step[2])
                file.write(step[3][:upto])
        if path.is_file():
            self.tick(path)

    def go(self, place):
        """As if it had been killed at this place of the sum of all weights."""
        while self.done < len(self.steps):
            step = self.steps[self.done]
            if self.within + weight(step) > place:
                break
            self.do(step)
            self.within += weight(step)
            self.done += 1
        if self.done < len(self.steps) and place > self.within and self.steps[self.done][0] == "write":
            self.do(self.steps[self.done], place - self.within)
        return self


def contents(path):
    """Of a file or folder, by name."""
    path = Path(path)
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
