"""What ``python -m dpm_core lab`` does: couplings from spins, Markov chains, and signals in random networks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from dpm_core.cli.common import use_threads
from dpm_core.data import uploads
from dpm_core.lab import random_networks
from dpm_core.lab.chains import look_ahead_figure
from dpm_core.lab.chains.markov_chains import effective_samples, run
from dpm_core.lab.flow.ising_estimators import ESTIMATORS, estimates
from dpm_core.lab.hamiltonian import moves

MOST_GRADIENTS, MOST_LOOK_AHEAD, MOST_COORDINATES, FEWEST_STATES = 10_000_000, 32, 50_000, 10  # of chains


def add_topics(parser: argparse.ArgumentParser) -> None:
    """Add the topics of the command, each with its options."""
    topics = parser.add_subparsers(required=True, dest="topic", metavar="{couplings,chains,signals}")
    p = topics.add_parser("couplings", help="fit an Ising model to rows of 0 and 1, without its partition function")
    p.set_defaults(report=couplings)
    p.add_argument("data", type=Path, help="file with rows of 0 and 1")
    p.add_argument("--method", choices=list(ESTIMATORS), default="flow", help="estimator (default flow: minimum probability flow)")
    p.add_argument("--seconds", type=float, default=60.0, help="end the search after this many seconds (default 60)")
    p.add_argument("-o", "--output", type=Path, help="CSV file for J of E(x) = xᵀ J x, biases on the diagonal (default: print the matrix)")
    p = topics.add_parser("chains", help="sample with look-ahead Hamiltonian Monte Carlo, and say what a gradient is worth")
    p.set_defaults(report=chains)
    p.add_argument("--density", choices=list(look_ahead_figure.DIMENSIONS), default="rough_well", help="target (default rough_well)")
    p.add_argument("--look-ahead", type=int, default=4, help="trajectories tried in a row; 1 is standard HMC (default 4)")
    p.add_argument("--step-size", type=float, default=1.0, help="leapfrog step ε (default 1)")
    p.add_argument("--leapfrog-steps", type=int, default=10, help="leapfrog steps of a trajectory (default 10)")
    p.add_argument("--corruption", type=float, default=0.1, help="momentum corruption β (default 0.1)")
    p.add_argument("-n", type=int, default=100, help="number of chains (default 100)")
    p.add_argument("--gradients", type=float, default=20_000, help="gradients that each chain uses (default 20000)")
    p.add_argument("-o", "--output", type=Path, help="file to write the states [S, n, d] to: .npz")
    p = topics.add_parser("signals", help="fixed points and depth scales of wide random networks")
    p.set_defaults(report=signals)
    p.add_argument("--activation", choices=list(random_networks.ACTIVATIONS), default="tanh", help="activation function (default tanh)")
    p.add_argument("--weights", type=float, default=1.5, metavar="VARIANCE", help="σ_w², variance of the weights × width (default 1.5)")
    p.add_argument("--biases", type=float, default=0.05, metavar="VARIANCE", help="σ_b², variance of the biases (default 0.05)")


def lab(args: argparse.Namespace, argv: list[str]) -> int:
    """Learn couplings without a partition function, sample without detailed balance, or analyse random networks."""
    use_threads(args, False)
    report = args.report(args)
    if report is not None:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    return 0


def couplings(args: argparse.Namespace) -> dict | None:
    """Fit and write or print J."""
    if not args.seconds > 0:
        raise ValueError(f"--seconds is {args.seconds:g}; it must be positive.")
    x = torch.from_numpy(uploads.read_bits(args.data.read_bytes())).double()
    *_, last = estimates(args.method, x, args.seconds, args.seed)
    J = last.J.numpy()
    if args.output is None:
        return {"method": args.method, "rows": len(x), "seconds": round(last.seconds, 3), "J": J.round(6).tolist()}
    np.savetxt(args.output, J, delimiter=",", fmt="%.9g")
    print(f"{args.output}: J of {len(J)} spins from {len(x):,} rows in {last.seconds:.2f} s")
    return None


def chains(args: argparse.Namespace) -> dict:
    """Run the chains from equilibrium; effective samples per gradient with their error."""
    if args.n < 2 or not 100 <= args.gradients <= MOST_GRADIENTS:
        given = f"-n is {args.n} and --gradients {args.gradients:g}"
        raise ValueError(f"{given}; give at least 2 chains and 100 to {MOST_GRADIENTS:,} gradients.")
    if args.look_ahead > MOST_LOOK_AHEAD or args.n * look_ahead_figure.DIMENSIONS[args.density] > MOST_COORDINATES:
        raise ValueError(
            f"--look-ahead is {args.look_ahead} and -n {args.n}; at most {MOST_LOOK_AHEAD} trajectories and {MOST_COORDINATES:,} "
            "coordinates of all chains are possible."
        )
    x = look_ahead_figure.equilibrium(args.density, args.n, torch.Generator().manual_seed(args.seed))
    found = run(
        moves(
            look_ahead_figure.energy_of(args.density), x, step_size=args.step_size, leapfrog_steps=args.leapfrog_steps,
            look_ahead=args.look_ahead, corruption=args.corruption, generator=torch.Generator().manual_seed(args.seed + 1),
        ),
        args.gradients,
    )  # fmt: skip
    if len(found.states) < FEWEST_STATES:
        raise ValueError(
            f"The chains took {len(found.states)} steps of {found.evaluations:.0f} gradients; give more --gradients, for at least "
            f"{FEWEST_STATES} steps."
        )
    worth = effective_samples(found.states, found.thinning * found.evaluations)
    if args.output is not None:
        np.savez_compressed(args.output, x=found.states.numpy())
    return {
        "density": args.density,
        "gradients_per_step": found.evaluations,
        "momentum_reversed": found.reversed,
        "samples_per_gradient": worth.per_evaluation,
        "standard_error": worth.error,
        "upper_limit_only": not worth.resolved,
    }


def signals(args: argparse.Namespace) -> dict:
    """q*, χ₁ and the depth scales, and where the edge of chaos lies."""
    q, chi = random_networks.fixed_point(args.activation, args.weights, args.biases)
    scales = random_networks.depth_scales(args.activation, args.weights, args.biases)
    try:
        critical: float | None = random_networks.critical_sigma_w2(args.activation, args.biases)
    except ValueError:  # no edge of chaos up to σ_w² = 100
        critical = None
    found = {"q_star": q, "chi_1": chi, **scales._asdict(), "critical_sigma_w2": critical}
    return {name: value if value is None or np.isfinite(value) else str(value) for name, value in found.items()}
