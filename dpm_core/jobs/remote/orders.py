"""The requests with which a run is started or resumed in a worker."""

from __future__ import annotations

from dpm_core.config import to_dict
from dpm_core.jobs.config import JobConfig, Stop
from dpm_core.jobs.order import InitialWeights, Order
from dpm_core.jobs.remote.messages import Reply, pack_data
from dpm_core.jobs.storage.addresses import address_of


def start_request(config: JobConfig, order: Order, initial: InitialWeights | None) -> Reply:
    """JSON and tensors that ask for a new run. Raises DataError."""
    about, tensors = pack_data(config.run, order)
    if initial is not None:
        tensors |= {f"initial.{k}": v for k, v in initial.tensors.items()}
    source = None if initial is None else initial.source
    return _common("start", order) | {"config": to_dict(config), "source": source, "data": about}, tensors


def resume_request(config: JobConfig, order: Order, stop: Stop | None) -> Reply:
    """JSON and tensors that ask for a run to be resumed, whose present config is given. Raises DataError."""
    about, tensors = pack_data(config.run, order)
    return _common("resume_run", order) | {"stop": None if stop is None else to_dict(stop), "data": about}, tensors


def _common(op: str, order: Order) -> dict:
    return {"op": op, "folder": address_of(order.folder), "paused": order.paused}
