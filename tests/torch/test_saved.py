"""What real saves that came to their end are taken for."""
import math
import subprocess

import pytest

from conftest import SAVERS

# layout: what it makes of step 20, framework, step, epoch, optimizer, whether its format proves its end
SAVED = {
    "torch": ("model.pt", "torch", 20, 2, 1, True),
    "torch-old": ("model.pt", "torch", 20, 2, 1, False),
    "lightning": ("last.ckpt", "torch", 20, 2, 1, True),
    "numpy": ("state.npz", "numpy", -1, -1, -1, True),
    "huggingface": ("checkpoint-20", "huggingface", 20, 2, 1, True),
    "dcp": ("step-20", "dcp", -1, -1, -1, True),
    "dcp-old": ("step-20", "dcp", -1, -1, -1, True),
    "megatron": ("iter_0000020", "megatron", 20, -1, 1, True),
    "deepspeed": ("global_step20", "deepspeed", 20, -1, 1, True),
    "orbax": ("20", "orbax", 20, -1, 1, True),
    "tinygrad": ("model.safetensors", "safetensors", 20, -1, 1, False),
}


@pytest.mark.parametrize("layout", SAVED)
def test_a_finished_save(tmp_path, ask, python_of, layout):
    subprocess.run([python_of(layout), SAVERS, layout, tmp_path, "20"], check=True, timeout=100)
    name, framework, step, epoch, optimizer, proves = SAVED[layout]
    said = ask(tmp_path / name, "settled")
    assert (said.answer, said.framework, said.step, said.epoch, said.optimizer) == \
        ("accepted", framework, step, epoch, optimizer), said
    assert ask(tmp_path / name).answer == ("accepted" if proves else "refused")
    assert math.isnan(said.loss) if framework != "huggingface" else said.loss == 0.2
    if framework in ("torch", "numpy", "huggingface", "megatron", "deepspeed") and layout != "torch-old":
        assert "CRC of" in said.words, said


def test_what_torch_pickles(tmp_path, ask):
    """Other things that people save."""
    import collections

    import torch
    model = torch.nn.Linear(3, 2)
    adam, sgd = torch.optim.Adam(model.parameters()), torch.optim.SGD(model.parameters(), lr=0.1)
    unused = torch.optim.Adam(model.parameters())
    for _ in range(3):
        model(torch.ones(3)).sum().backward()
        adam.step()
        sgd.step()
    cases = [
        (model.state_dict(), -1, -1, 0),
        ({"model": model.state_dict(), "step": 7}, 7, -1, 0),
        ({"model": model.state_dict(), "optim": adam.state_dict(), "iteration": 70000}, 70000, -1, 1),
        ({"model": model.state_dict(), "optimizer": unused.state_dict(), "epoch": 1}, -1, 1, 0),
        (adam.state_dict(), -1, -1, 1),
        (collections.OrderedDict(global_step=5, opt_state=collections.OrderedDict(m=torch.ones(2))), 5, -1, 1),
        ({"trainer": {"step": 8, "epoch": 2}, "config": {"step": 1000}, "model": model.state_dict()}, 8, 2, 0),
        ({"step": torch.tensor(5), "optimizer": None}, -1, -1, 0),
        (model, -1, -1, -1),
        (torch.ones(4), -1, -1, -1),
        ([model.state_dict(), adam.state_dict()], -1, -1, 1),
    ]
    for number, (thing, step, epoch, optimizer) in enumerate(cases):
        for protocol in (2, 4, 5):
            for is_zip in (True, False):
                path = tmp_path / f"thing_{number}.pt"
                torch.save(thing, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
                said = ask(path, "settled")
                what = (number, protocol, is_zip, said)
                assert said.answer == "accepted" and "CRC of" in said.words or not is_zip, what
                if is_zip or protocol == 2:  # the old format is known by the bytes of protocol 2
                    assert said.framework == "torch", what
                    assert (said.step, said.epoch, said.optimizer) == (step, epoch, optimizer), what
