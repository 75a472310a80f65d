"""The training loop: resume, step, report, save, stop.

The state of a run is its weights, Adam's moments and the number of steps done; all of it is in a checkpoint, and a
step is a pure function of it (data.py). So a run that was killed and resumed ends with the same bits as one that was
left alone, wherever the saves fell."""
import json
import sys
import time
from pathlib import Path

import checkpoint
import models
from control import Preempted, say
from data import BadData, Table, Text
from tinygrad import Tensor, TinyJit, dtypes, nn
from tinygrad.nn.state import get_parameters, get_state_dict, load_state_dict

SAY_EVERY_S = 2
KEEP_FILES = 3  # checkpoints left in the folder: the runner ships the newest one that it can get


class LanguageTask:
    """The next character."""

    dtype = dtypes.int32

    def __init__(self, settings):
        self.data = Text(settings["text"], settings["context"])
        shape = {key: settings[key] for key in ("context", "width", "layers", "heads")}
        if shape["width"] % shape["heads"]:
            raise BadData(f"train.heads: {shape['heads']} heads do not divide the width {shape['width']}")
        self.model = models.LanguageModel(len(self.data.vocabulary), **shape)
        self.description = {**shape, "vocabulary": self.data.vocabulary}

    def metrics(self, logits, y):
        return {"loss": logits.sparse_categorical_crossentropy(y)}


class ClassifierTask:
    """The class of a row."""

    dtype = dtypes.float32

    def __init__(self, settings):
        self.data = Table(settings["data"])
        shape = {key: settings[key] for key in ("width", "layers")}
        self.model = models.Classifier(len(self.data.means), len(self.data.labels), **shape)
        self.description = {**shape, "labels": self.data.labels, "means": self.data.means,
                            "deviations": self.data.deviations}

    def metrics(self, logits, y):
        return {"loss": logits.sparse_categorical_crossentropy(y), "accuracy": (logits.argmax(-1) == y).mean()}


TASKS = {"language-model": LanguageTask, "classifier": ClassifierTask}


class Trainer:
    def __init__(self, settings, checkpoints, output):
        self.settings, self.checkpoints, self.output = settings, Path(checkpoints), Path(output)
        self.step = 0
        Tensor.manual_seed(settings["seed"])  # the only use of tinygrad's generator is the first weights
        self.task = TASKS[settings["task"]](settings)
        self.optimizer = nn.optim.Adam(get_parameters(self.task.model), lr=settings["lr"])
        self.description = {"task": settings["task"], **self.task.description}

    # ---- state ----

    def weights(self):
        return {f"model.{name}": tensor for name, tensor in get_state_dict(self.task.model).items()}

    def moments(self):
        return {f"optimizer.{name}": tensor for name, tensor in get_state_dict(self.optimizer).items()
                if not name.startswith("params.")}  # those are the weights

    def metadata(self, **more):
        return {"format": "stoker 1", "description": json.dumps(self.description, sort_keys=True), **more}

    def resume(self, path, with_optimizer):
        try:
            path = checkpoint.newest(path)
            tensors, metadata = checkpoint.load(path)
        except (OSError, ValueError, KeyError) as error:
            raise BadData(f"{path}: cannot be read as a checkpoint: {error!r}") from error
        theirs, ours = json.loads(metadata.get("description", "{}")), json.loads(self.metadata()["description"])
        other = sorted(key for key in ours if theirs.get(key) != ours[key])
        if other:
            raise BadData(f"{path}: this checkpoint is of another model or of other data: it differs in "
                          f"{', '.join(other)}")
        if metadata.get("data") != self.task.data.digest:
            print("warning: the data changed since this checkpoint: the run goes on, but not as it would have",
                  file=sys.stderr, flush=True)
        state = {**self.weights(), **(self.moments() if with_optimizer else {})}
        load_state_dict(state, {name: tensors[name] for name in state}, verbose=False)
        self.step = int(metadata["step"])
        say("resumed", step=self.step)
        print(f"resumed from step {self.step}{'' if with_optimizer else ', without the optimizer'}", flush=True)

    def save(self):
        path = self.checkpoints / f"step-{self.step:010d}.safetensors"
        sha256, size = checkpoint.save(path, {**self.weights(), **self.moments()},
                                       self.metadata(step=str(self.step), data=self.task.data.digest))
        say("checkpoint", path=str(path), step=self.step, sha256=sha256, size=size, optimizer=True)
        for old in sorted(self.checkpoints.glob("step-*.safetensors"))[:-KEEP_FILES]:
            old.unlink()

    # ---- training ----

    def realize(self):
        """Gives all state a buffer of its own, so that the first step runs the same kernels as every other."""
        state = [*self.weights().values(), *self.moments().values()]
        for tensor in state:
            tensor.replace(tensor.contiguous().clone())
        Tensor.realize(*state)

    def compiled(self):
        @TinyJit
        def train_step(x, y):
            self.optimizer.zero_grad()
            metrics = self.task.metrics(self.task.model(x), y)
            metrics["loss"].backward()
            Tensor.realize(*metrics.values(), *self.optimizer.schedule_step())
            return metrics
        return train_step

    def run(self, every, stop):
        """Trains to the last step. every: steps and milliseconds between two saves, 0 for never."""
        self.realize()
        train_step, total = self.compiled(), self.settings["steps"]
        saved_at, said_at = None, -SAY_EVERY_S  # on the clock, which starts with the first step: that one compiles
        while self.step < total:
            x, y = self.task.data.batch(self.settings["seed"], self.step, self.settings["batch"])
            result = train_step(Tensor(x, dtype=self.task.dtype).realize(), Tensor(y, dtype=dtypes.int32).realize())
            metrics = {name: value.item() for name, value in result.items()}
            self.step += 1
            stop.can_wait = True
            say("metric", step=self.step, **metrics)

            is_last, now = self.step == total, time.monotonic()
            saved_at = saved_at or now
            if is_last or now - said_at >= SAY_EVERY_S:
                said_at = now
                say("progress", step=self.step, total=total)
                print(f"step {self.step}/{total}", *(f"{name} {value:.4f}" for name, value in metrics.items()),
                      sep="   ", flush=True)
            is_due = every["steps"] and self.step % every["steps"] == 0
            is_late = every["ms"] and (now - saved_at) * 1000 >= every["ms"]
            if is_last or is_due or is_late or stop.is_asked:
                self.save()
                saved_at = time.monotonic()
                if stop.is_asked and not is_last:
                    raise Preempted

        checkpoint.save(self.output / "model.safetensors", get_state_dict(self.task.model), self.metadata())
        say("done", step=self.step)
        print(f"done after {self.step} steps", flush=True)
