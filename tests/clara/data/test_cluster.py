"""`--cluster ray` on two local nodes, with workers killed and a node removed in mid-run."""

import contextlib
import time

import psutil
import pytest
from examples import REPOSITORY, melody, texts

from clara.data import cluster, workers
from clara.errors import BadSetting
from clara.music.midi import write_midi
from data_prep import prepare


def test_where_there_is_no_cluster(monkeypatch):
    with pytest.raises(BadSetting, match="--cluster"):
        list(workers.process_pieces([1], str, workers.WorkerSettings(cluster="spark")))


@pytest.fixture(scope="module")
def two_nodes():
    """Start a Ray cluster of two nodes of one CPU on this machine."""
    with pytest.MonkeyPatch.context() as patched:
        # read when Ray is imported: a busy machine needs more than Ray's 15 s
        patched.setenv("RAY_agent_register_timeout_ms", "120000")
        ray = pytest.importorskip("ray")
        from ray.cluster_utils import Cluster

        yield from started(ray, Cluster())


def started(ray, nodes):
    """Start two nodes, connect, and end it all afterwards."""
    nodes.add_node(num_cpus=1, object_store_memory=100 << 20, include_dashboard=False)
    second = nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": str(REPOSITORY)}})
    yield nodes, second
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Make a folder of 40 files, two of them bad."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "a").mkdir()
    for i in range(38):
        write_midi(melody(i, n=10), folder / f"a/{i}.mid")
    (folder / "a/bad.mid").write_bytes(b"no music")
    (folder / "a/empty.mid").write_bytes(b"")
    return folder


def kill_a_worker():
    """Kill Ray's workers that are at a chunk on this machine; how many."""
    killed = 0
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and process.info["cmdline"][0].startswith("ray::_process_chunk"):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                killed += 1
    return killed


def test_killed_workers_and_a_lost_node_lose_nothing(two_nodes, many, tmp_path, monkeypatch):
    nodes, second = two_nodes
    killed = []

    def disturbed(*args, **kwargs):
        for n, outcome in enumerate(process_pieces(*args, **kwargs)):
            if n == 4:
                killed.append(kill_a_worker())
            if n == 12:
                nodes.remove_node(second, allow_graceful=False)
            yield outcome

    assert prepare.main([str(many), "--out", str(tmp_path / "here"), "--workers", "1"]) == 0
    process_pieces = workers.process_pieces
    monkeypatch.setattr(workers, "process_pieces", disturbed)
    monkeypatch.setattr(cluster, "CHUNK_PIECES", 4)
    assert prepare.main([str(many), "--out", str(tmp_path / "there"), "--cluster", "ray"]) == 0
    assert killed[0] >= 1
    here, there = ({n: text for n, (_, text) in texts(tmp_path / w).items()} for w in ("here", "there"))
    assert here == there and len(here) == 38
    for name in ("manifest.csv", "corpus.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_limits_hold_on_a_cluster(two_nodes, monkeypatch):
    monkeypatch.setattr(cluster, "CHUNK_PIECES", 2)
    outcomes = list(
        workers.process_pieces([0.01, 30, 0.02], time.sleep, workers.WorkerSettings(timeout_seconds=2, cluster="ray"))
    )
    assert sorted(outcomes) == [(0.01, None, ""), (0.02, None, ""), (30, None, "Timeout")]
