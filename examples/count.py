#!/usr/bin/env python3
"""An ordinary training script that knows nothing of stoker: it estimates pi from random points, prints how it goes,
and keeps its state in out/state.json, from which --resume goes on."""
import argparse
import json
import os
import random
import time

parser = argparse.ArgumentParser()
parser.add_argument("--resume", help="state to go on from; nothing: start at zero")
parser.add_argument("--steps", type=int, default=60)
args = parser.parse_args()

state = {"step": 0, "hits": 0, "points": 0}
if args.resume:
    with open(args.resume, encoding="utf-8") as file:
        state = json.load(file)
    print(f"going on from step {state['step']}", flush=True)

os.makedirs("out", exist_ok=True)
while state["step"] < args.steps:
    draw = random.Random(state["step"])
    state["hits"] += sum(draw.random() ** 2 + draw.random() ** 2 < 1 for _ in range(100_000))
    state["points"] += 100_000
    state["step"] += 1
    estimate = 4 * state["hits"] / state["points"]
    print(f"step={state['step']} estimate={estimate:.6f} loss={abs(estimate - 3.141592653589793):.6f}", flush=True)
    with open("out/state.json.tmp", "w", encoding="utf-8") as file:
        json.dump(state, file)
    os.rename("out/state.json.tmp", "out/state.json")
    time.sleep(0.5)  # stands for work on an accelerator
