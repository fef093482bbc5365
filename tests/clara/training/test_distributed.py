"""Two processes over gloo take the same steps as one that reads the whole batch."""

import json
import subprocess
import sys

import pandas as pd
import pytest
import tiny
import torch
from examples import REPOSITORY

from clara.checkpoints.checkpoint import Checkpoint
from clara.errors import BadSetting
from clara.training.callbacks import HISTORY
from clara.training.distributed import World

pytestmark = pytest.mark.slow

NO_DROPOUT = ("--drop-mult", 0, "--from-scratch", "--threads", 1)


def launch(n, data, out, *more):
    """Run train.py in n processes."""
    argv = [str(a) for a in tiny.flags(data, out, *NO_DROPOUT, *more)]
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={n}",
            str(REPOSITORY / "train.py"),
            *argv,
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=data,
        timeout=120,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("together"))


def test_two_train_as_one(data, tmp_path):
    from clara_app import train

    assert tiny.leave(train.main, [*tiny.flags(data, tmp_path / "one", *NO_DROPOUT)]) == 0
    done = launch(2, data, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 3/3") == 1  # printed by one of them
    one, two = (pd.read_csv(tmp_path / n / HISTORY) for n in ("one", "two"))
    for column in ("train_loss", "valid_loss", "nats_per_quarter"):
        assert one[column].tolist() == pytest.approx(two[column].tolist(), rel=1e-4), column
    weights = [Checkpoint.load(tmp_path / n).tensors for n in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor.float(), weights[1][name].float(), atol=2e-3, rtol=0)
    config = json.loads((tmp_path / "two" / "config.json").read_text())
    assert config["figures"].keys() >= {"valid_nats_per_quarter", "test_nats_per_quarter"}


def test_what_one_process_does_alone_is_not_shared(data, tmp_path):
    from clara.training.run import train

    with pytest.raises(BadSetting, match="--find-lr"):
        train(tiny.arguments(data, tmp_path / "out", "--find-lr"), world=World(0, 2))
    assert not (tmp_path / "out").exists()


def test_shares_make_the_batch():
    rows = list(range(12))
    assert [rows[World(rank, 3).local_rows(12)] for rank in range(3)] == [rows[:4], rows[4:8], rows[8:]]
    with pytest.raises(BadSetting):
        World(0, 5).local_rows(12)


def test_alone_nothing_is_shared():
    alone = World()
    assert alone.is_rank0 and alone.broadcast("x") == "x" and alone.mean(2) == 2 and alone.rank0_first(lambda: 7) == 7
    assert list(range(4))[alone.local_rows(4)] == [0, 1, 2, 3]
