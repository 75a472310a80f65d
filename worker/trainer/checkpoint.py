"""Files of tensors that are either whole or not there.

A file is written under a temporary name, synced, renamed and its folder synced: a kill at any byte leaves the old
state. The format is safetensors, written here and not with tinygrad's safe_save, because each byte is to be hashed
as it is written, and because saving through the scheduler takes a hundred times as long."""
import hashlib
import json
import os
from pathlib import Path

from tinygrad import Tensor, dtypes

DTYPES = {"F32": dtypes.float32}


def header(tensors, metadata):
    """The JSON head of a safetensors file: where each tensor lies, padded to 8 bytes."""
    fields, end = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        assert tensor.dtype == dtypes.float32, f"{name} is {tensor.dtype}"
        start, end = end, end + tensor.nbytes()
        fields[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def save(path, tensors, metadata):
    """Writes name → tensor and text → text; returns the file's SHA-256 and size."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    digest = hashlib.sha256()
    with open(temporary, "wb") as file:
        for piece in (header(tensors, metadata), *(tensor.data() for tensor in tensors.values())):
            file.write(piece)
            digest.update(piece)
        size = file.tell()
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return digest.hexdigest(), size


def load(path):
    """The tensors and the metadata of a file, which is only read: tinygrad's safe_load opens it for writing, too."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    fields = json.loads(data[8:start])
    metadata = fields.pop("__metadata__", {})
    tensors = {}
    for name, field in fields.items():
        first, end = (start + offset for offset in field["data_offsets"])
        tensors[name] = Tensor(data[first:end], dtype=DTYPES[field["dtype"]]).reshape(field["shape"])
    return tensors, metadata


def newest(path):
    """A checkpoint is named by its file or by the folder that holds it."""
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("step-*.safetensors"))
        if not files:
            raise FileNotFoundError(f"no step-*.safetensors in {path}")
        return files[-1]
    return path
