"""The engines under test, and a Ray cluster of two nodes on this machine."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from dpm_core import jobs
from dpm_core.jobs import JobConfig, Stop
from tests.jobs.engines import ENGINES, RUN, points


class Nodes:
    """A cluster whose head trains nothing, with two nodes of one place each; each node has caches of its own in ``folder``."""

    def __init__(self, folder):
        from ray.cluster_utils import Cluster

        from dpm_core.jobs.cluster.engine import RayEngine

        quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": quick})
        self._caches = (str(folder / f"node{n}") for n in itertools.count())
        self.nodes = [self._node() for _ in range(2)]
        self.engine = RayEngine(self.cluster.address)

    def _node(self):
        return self.cluster.add_node(num_cpus=1, env_vars={"XDG_CACHE_HOME": next(self._caches)})

    def lose(self, id):
        """Kill one node, as a power cut would, and put a new one in its place."""
        lost = next(node for node in self.nodes if node.node_id == id)
        self.cluster.remove_node(lost, allow_graceful=False)
        self.nodes = [*(node for node in self.nodes if node is not lost), self._node()]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    ray = pytest.importorskip("ray")
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_AUTH_MODE", "disabled")  # otherwise Ray writes a token into the home folder
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])))
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    yield nodes
    ray.shutdown()
    nodes.cluster.shutdown()
    patch.undo()


@pytest.fixture(params=[*ENGINES, "cluster"])
def engine(request):
    return request.getfixturevalue("cluster").engine if request.param == "cluster" else ENGINES[request.param]()


@pytest.fixture
def start(tmp_path, request):
    """Starts runs in the engine under test, or in a given one, and ends them."""
    made = []

    def make(name="run", run=RUN, stop=None, data=None, held_out=None, engine=None, **more):
        config = JobConfig(name, run, stop or Stop(), threads=1)
        data = points() if data is None else data
        engine = request.getfixturevalue("engine") if engine is None else engine
        made.append(jobs.start(config, data, points(20, 1) if held_out is None else held_out, tmp_path, engine=engine, **more))
        return made[-1]

    yield make
    for job in made:
        if not job.done:
            job.stop()
            job.join(60)
        job.close()
