"""Saves as frameworks make them, of a model whose numbers follow from its step: what is loaded can be told from what
was saved. Run as a program it saves; imported it also knows how to load.

  savers.py LAYOUT FOLDER STEP…     saves each step, and makes FOLDER/mark-<step> after each
  savers.py LAYOUT --serve SCRATCH  for each line `FOLDER FIRST LAST` on stdin forks a process that saves these steps
                                    one after the other and then waits; answers with its number, `saved` and `dead`

How each layout is made:

torch, lightning, torch-old     torch.save of a training loop's dict, of what Lightning 2 puts into a .ckpt, and in
                                torch's old format
huggingface, huggingface-over   a folder as Trainer makes it: its order and names, each file by torch.save; the weights
                                are written by hand, from the format's page, in place and in one go, as older versions
                                of safetensors did (0.8.0 writes .tmp… and renames); -over saves into one folder again
                                and again, as a run does that repeats a step
dcp, dcp-old                    by hand, as torch.distributed.checkpoint's FileSystemWriter does it (Debian's torch 1.13
                                has it, but cannot import it under Python 3.11): each tensor by torch.save into the
                                shard of its rank, then .metadata by pickle, renamed; -old in place
megatron                        Megatron-LM's order and names, each file by torch.save
deepspeed, deepspeed-late       DeepSpeed's order, names and keys (ZeRO 2, two ranks), each file by torch.save: it saves
                                only with its own launcher and compiled parts; -late with a rank that writes after
                                `latest` is there, since nobody waits for it
orbax                           by hand, in the order that strace showed of orbax-checkpoint 0.12.8: its names, its
                                _CHECKPOINT_METADATA and its renames; the arrays' bytes are any
numpy                           numpy.savez
tinygrad                        nn.state.safe_save, in place; run by the Python that has tinygrad
"""
import functools
import io
import json
import os
import pickle
import struct
import sys
from pathlib import Path

SIDE = int(os.environ.get("SAVE_SIDE", "96"))  # the model is SIDE x SIDE


@functools.cache
def base(count):
    return [i % 1021 / 1024 for i in range(count)]


def numbers(step):
    """The weights of a step, as plain floats: single precision holds them exactly."""
    return [number + step for number in base(SIDE * SIDE)]


@functools.cache
def base_tensor(side):
    import torch
    return torch.tensor(base(side * side)).reshape(side, side)


def tensor(step):
    return base_tensor(SIDE) + step


def optimizer(step):
    return {"state": {0: {"step": step, "exp_avg": tensor(step + 1), "exp_avg_sq": tensor(step + 2)}},
            "param_groups": [{"lr": 0.1, "params": [0]}]}


def save_torch(folder, step):
    import torch
    torch.save({"epoch": step // 10, "global_step": step, "model": {"w": tensor(step)},
                "optimizer": optimizer(step), "args": {"step": 12345}}, folder / "model.pt")


def save_torch_old(folder, step):
    import torch
    torch.save({"epoch": step // 10, "global_step": step, "model": {"w": tensor(step)}, "optimizer": optimizer(step)},
               folder / "model.pt", _use_new_zipfile_serialization=False)


def save_lightning(folder, step):
    import torch
    torch.save({"epoch": step // 10, "global_step": step, "pytorch-lightning_version": "2.0.0",
                "state_dict": {"w": tensor(step)}, "loops": {"fit_loop": {"state_dict": {}, "epoch": 999}},
                "callbacks": {"ModelCheckpoint": {"step": 998}}, "optimizer_states": [optimizer(step)],
                "lr_schedulers": [{"last_epoch": step, "_step_count": step + 1}], "hyper_parameters": {"step": 997}},
               folder / "last.ckpt")


def write_safetensors(path, step):
    data = struct.pack(f"<{SIDE * SIDE}f", *numbers(step))
    head = json.dumps({"__metadata__": {"format": "pt"},
                       "w": {"dtype": "F32", "shape": [SIDE, SIDE], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def save_huggingface(folder, step, name=None):
    import torch
    to = folder / (name or f"checkpoint-{step}")
    to.mkdir(exist_ok=True)
    (to / "config.json").write_text('{"model_type": "tiny"}\n')
    write_safetensors(to / "model.safetensors", step)
    torch.save({"output_dir": "out", "step": 996}, to / "training_args.bin")
    torch.save(optimizer(step), to / "optimizer.pt")
    torch.save({"last_epoch": step}, to / "scheduler.pt")
    torch.save({"cpu": torch.get_rng_state()}, to / "rng_state.pth")
    (to / "trainer_state.json").write_text(json.dumps(
        {"best_metric": None, "epoch": step / 10, "global_step": step,
         "log_history": [{"loss": 9.0, "step": step - 1}, {"loss": step / 100, "step": step}]}, indent=2) + "\n")


def save_dcp(folder, step, in_place=False):
    import torch
    to = folder / f"step-{step}"
    to.mkdir(exist_ok=True)
    places = {}
    for rank in range(2):
        name = f"__{rank}_0.distcp"
        with open(to / name, "wb") as shard:
            for key in ("model.w", "optim.exp_avg"):
                at = shard.tell()
                torch.save(tensor(step + rank), shard)
                places[rank, key] = (name, at, shard.tell() - at)
            os.fsync(shard.fileno())
    metadata = to / (".metadata" if in_place else ".metadata.tmp")
    with open(metadata, "wb") as file:
        pickle.dump({"state_dict_metadata": {"model.w": [SIDE, SIDE]}, "planner_data": None,
                     "storage_data": places}, file)
        os.fsync(file.fileno())
    if not in_place:
        metadata.rename(to / ".metadata")


def save_megatron(folder, step):
    import torch
    to = folder / f"iter_{step:07d}"
    for rank in range(2):
        (to / f"mp_rank_{rank:02d}").mkdir(parents=True, exist_ok=True)
        torch.save({"args": {"iteration": 995}, "checkpoint_version": 3.0, "iteration": step,
                    "model": {"w": tensor(step + rank)}, "optimizer": {"optimizer": optimizer(step)}},
                   to / f"mp_rank_{rank:02d}" / "model_optim_rng.pt")
    (folder / "latest_checkpointed_iteration.txt").write_text(str(step))


def save_deepspeed(folder, step, late=False):
    import torch
    to = folder / f"global_step{step}"
    to.mkdir(exist_ok=True)
    torch.save({"module": {"w": tensor(step)}, "buffer_names": [], "optimizer": None, "lr_scheduler": None,
                "data_sampler": None, "random_ltd": None, "sparse_tensor_module_names": set(), "skipped_steps": 0,
                "global_steps": step, "global_samples": 8 * step, "dp_world_size": 2, "mp_world_size": 1,
                "ds_config": {"train_batch_size": 8, "steps_per_print": 994}, "ds_version": "0.14.4"},
               to / "mp_rank_00_model_states.pt")

    def share(rank):
        torch.save({"optimizer_state_dict": {
            "base_optimizer_state": {"state": {0: {"exp_avg": tensor(step + rank), "exp_avg_sq": tensor(step + rank)}},
                                     "param_groups": [{"lr": 0.1, "params": [0]}]},
            "single_partition_of_fp32_groups": [tensor(step + rank)], "zero_stage": 2, "partition_count": [2]},
            "ds_config": {}, "ds_version": "0.14.4"}, to / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")

    share(0)
    if not late:
        share(1)
    (folder / "zero_to_fp32.py").write_text("# stands for DeepSpeed's\n")
    (folder / "latest").write_text(f"global_step{step}")
    if late:
        share(1)


def save_orbax(folder, step):
    to = folder / f"{step}.orbax-checkpoint-tmp"
    item = to / "state.orbax-checkpoint-tmp"
    (item / "ocdbt.process_0" / "d").mkdir(parents=True)
    said = {"item_handlers": {"state": "StandardCheckpointHandler"}, "init_timestamp_nsecs": 1,
            "commit_timestamp_nsecs": None}
    (to / "_CHECKPOINT_METADATA").write_text(json.dumps(said))
    (item / "_METADATA").write_text(json.dumps(
        {"tree_metadata": {"('opt_state', '0', 'mu')": {}, "('params', 'w')": {}}}))
    (item / "ocdbt.process_0" / "d" / "7f1f").write_bytes(struct.pack(f"<{SIDE * SIDE}f", *numbers(step)))
    for place in (item / "ocdbt.process_0", item):
        (place / "manifest.ocdbt.__lock").write_bytes(b"manifest" * 10)
        (place / "manifest.ocdbt.__lock").rename(place / "manifest.ocdbt")
    (item / "commit_success.txt").write_text("Checkpoint commit was successful")
    item.rename(to / "state")
    (to / "_CHECKPOINT_METADATA").write_text(json.dumps({**said, "commit_timestamp_nsecs": 2}))
    (to / "commit_success.txt").write_text("Checkpoint commit was successful")
    to.rename(folder / str(step))


def save_numpy(folder, step):
    import numpy
    numpy.savez(folder / "state.npz", w=numpy.array(numbers(step), "f4"), m=numpy.array(numbers(step + 1), "f4"))


def save_tinygrad(folder, step):
    from tinygrad import Tensor, nn
    nn.state.safe_save({"w": Tensor(numbers(step)).reshape(SIDE, SIDE), "opt.m": Tensor(numbers(step + 1))},
                       str(folder / "model.safetensors"), {"step": str(step)})


LAYOUTS = {
    "torch": save_torch, "torch-old": save_torch_old, "lightning": save_lightning, "numpy": save_numpy,
    "huggingface": save_huggingface,
    "huggingface-over": lambda folder, step: save_huggingface(folder, step, "checkpoint-5"),
    "dcp": save_dcp, "dcp-old": lambda folder, step: save_dcp(folder, step, in_place=True),
    "megatron": save_megatron, "orbax": save_orbax, "tinygrad": save_tinygrad,
    "deepspeed": save_deepspeed, "deepspeed-late": lambda folder, step: save_deepspeed(folder, step, late=True),
}


def step_of(layout, path):
    """Loads a checkpoint with the framework itself; the step whose numbers are in all of it."""
    import torch
    path = Path(path)
    if layout in ("torch", "torch-old", "lightning"):
        saved = torch.load(path)
        step, weights = saved["global_step"], saved.get("state_dict") or saved["model"]
        moments = (saved["optimizer_states"][0] if layout == "lightning" else saved["optimizer"])["state"][0]
    elif layout.startswith("huggingface"):
        step = json.loads((path / "trainer_state.json").read_text())["global_step"]
        raw = (path / "model.safetensors").read_bytes()
        head = 8 + struct.unpack("<Q", raw[:8])[0]
        weights = {"w": torch.frombuffer(bytearray(raw[head:]), dtype=torch.float32).reshape(SIDE, SIDE)}
        moments = torch.load(path / "optimizer.pt")["state"][0]
        assert torch.load(path / "scheduler.pt")["last_epoch"] == step
        torch.load(path / "rng_state.pth")
    elif layout.startswith("dcp"):
        places = pickle.loads((path / ".metadata").read_bytes())["storage_data"]
        step = int(path.name.split("-")[1])
        for (rank, _), (name, at, size) in places.items():
            part = io.BytesIO((path / name).read_bytes()[at:at + size])
            assert torch.equal(torch.load(part), tensor(step + rank))
        return step
    elif layout.startswith("deepspeed"):
        saved = torch.load(path / "mp_rank_00_model_states.pt")
        step, weights = saved["global_steps"], saved["module"]
        for rank in range(saved["dp_world_size"]):
            share = torch.load(path / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")["optimizer_state_dict"]
            assert torch.equal(share["single_partition_of_fp32_groups"][0], tensor(step + rank))
        assert torch.equal(weights["w"], tensor(step))
        return step
    else:
        raise NotImplementedError(layout)
    assert torch.equal(weights["w"], tensor(step))
    assert torch.equal(moments["exp_avg"], tensor(step + 1)) and torch.equal(moments["exp_avg_sq"], tensor(step + 2))
    return step


def serve(save):
    """One import for many processes: each is a fork."""
    for line in sys.stdin:
        folder, first, last = line.split()
        pid = os.fork()
        if pid == 0:
            print(os.getpid(), flush=True)  # not by the parent: it may come to that after the child has saved
            for step in range(int(first), int(last) + 1):
                save(Path(folder), step)
            print("saved", flush=True)
            os.kill(os.getpid(), 19)  # stays, with nothing open, until it is killed
        os.waitpid(pid, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "--serve":
        LAYOUTS[sys.argv[1]](Path(sys.argv[3]), 0)  # everything that is loaded late is loaded
        print("ready", flush=True)
        serve(LAYOUTS[sys.argv[1]])
    else:
        for number in sys.argv[3:]:
            LAYOUTS[sys.argv[1]](Path(sys.argv[2]), int(number))
            (Path(sys.argv[2]) / f"mark-{number}").mkdir()
