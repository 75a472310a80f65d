"""Loaded by schemathesis: every second path names something that is there, so that more than refusals are tried. Which
one follows from what was generated, so that a seed says it all."""
import json
import os
import zlib

import schemathesis

REAL = json.loads(os.environ["SCHEMA_REAL"])  # name of a path parameter → what there is


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    for name, value in (path_parameters or {}).items():
        real = REAL.get(name)
        number = zlib.crc32(repr(value).encode())
        if real and number % 2:
            # To follow a job that does not end is to wait.
            path_parameters[name] = real[0 if context.operation.path.endswith("/follow") else number // 2 % len(real)]
    return path_parameters
