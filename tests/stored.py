"""Whether a committed checkpoint is in the store as docs/checkpoints.md says, byte for byte."""
import hashlib
import io
import json
import tarfile
from pathlib import Path

BLOCK = 8 << 20


def wrong_with(summary, expected):
    """What is wrong with a committed record whose files, [(name, bytes)], are known; "" nothing."""
    manifest = Path(summary["uri"].removeprefix("file://"))
    try:
        text, data = manifest.read_bytes(), (manifest.parent / "data.tar").read_bytes()
    except FileNotFoundError as error:
        return f"not there: {error.filename}"
    if hashlib.sha256(text).hexdigest() != summary["manifest_sha256"]:
        return "the hash of the manifest"
    said = json.loads(text)
    hashes = [hashlib.sha256(data[at:at + BLOCK]).hexdigest() for at in range(0, len(data), BLOCK)]
    whole = hashlib.sha256("".join(f"{h}\n" for h in hashes).encode()).hexdigest()
    if said["object"]["blocks"] != hashes or whole != summary["sha256"]:
        return "the hash of a block"
    if (said["attempt"], said["seq"], said["token"]) != (summary["attempt"], summary["seq"], summary["token"]):
        return "the manifest of another one"
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [(m.name, tar.extractfile(m).read()) for m in tar]
    return "" if files == expected else "the content"
