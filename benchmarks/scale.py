"""How time and memory grow with particles and with T.

Each case runs in a process of its own: the forward chain recorded as the Forward page records it (101 frames,
5,000 particles kept), and ancestral sampling by the default MLP and by the swiss roll's exact kernel.
Target: time per particle and step roughly constant, within a factor of 2 from 5,000 particles on (below, the
fixed cost of a step shows); peak memory beyond that of the imports flat in T, unlike a whole trajectory's, whose
size stands in the last column.
The exact kernel runs only up to 4 million particle-steps, which keeps it below about a minute in all.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from time import perf_counter

from benchmarks._report import footer, table

PARTICLES, STEPS = (1000, 5000, 20000), (40, 200, 1000)
KEPT, FRAMES = 5000, 101
EXACT_LIMIT = 4_000_000  # particle-steps
KINDS = ("forward", "learned", "exact")


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    kilo = 1 if sys.platform == "linux" else 1 / 1024  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo / 1024


def case(kind: str, n: int, T: int) -> dict[str, float]:
    """Seconds of one run, after a short one of the same kind, and the peak memory that it added, in MB."""
    import torch

    from dpm_core.config import NetworkConfig
    from dpm_core.data import toy2d
    from dpm_core.process import GaussianDiffusion
    from dpm_core.reverse import build_model
    from dpm_core.samplers import ancestral, record
    from dpm_core.schedules import make_schedule

    torch.set_num_threads(1)
    roll = toy2d.make_dataset("swiss_roll")

    @torch.inference_mode()
    def run(n: int, T: int) -> float:
        diffusion = GaussianDiffusion(make_schedule("log_snr", T))
        generator = torch.Generator().manual_seed(0)
        if kind == "forward":
            steps = diffusion.forward_steps(roll.sample(n, generator), generator)
        else:
            kernel = roll.exact_reverse(diffusion) if kind == "exact" else build_model(NetworkConfig(), diffusion)
            steps = ancestral(kernel, diffusion, (n, 2), generator=generator)
        start = perf_counter()
        record(steps, T + 1, FRAMES, KEPT)
        return perf_counter() - start

    run(10, 2)
    before = peak_mb()
    seconds = run(n, T)
    return {"seconds": seconds, "added_mb": peak_mb() - before}


def spawn(kind: str, n: int, T: int) -> dict[str, float]:
    """The case in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scale", kind, str(n), str(T)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    rows, skipped = [], 0
    for kind in KINDS:
        for n in PARTICLES:
            for T in STEPS:
                if kind == "exact" and n * T > EXACT_LIMIT:
                    skipped += 1
                    continue
                found = spawn(kind, n, T)
                seconds, added = found["seconds"], found["added_mb"]
                whole = n * (T + 1) * 8 / 1e6
                times = [f"{seconds:.2f}", f"{seconds / T * 1e3:.2f}", f"{seconds / n / T * 1e9:.0f}"]
                rows.append([kind, f"{n:,}", f"{T:,}", *times, f"{added:.0f}", f"{whole:.0f}"])
    head = ["what", "particles", "T", "s", "ms per step", "ns per particle-step", "peak added, MB", "whole trajectory, MB"]
    table(head, rows)
    print(f"Exact kernel: {skipped} cases above {EXACT_LIMIT:,} particle-steps left out.\n")
    footer()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(case(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
