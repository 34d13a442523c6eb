"""The limit of many small steps: the stochastic differential equation, its reversals, solvers for them, and the bound in that limit."""

from dpm_core.continuous.bound import between_ends, bound_of_steps
from dpm_core.continuous.convergence import Convergence, Reference, convergence, solve_reference
from dpm_core.continuous.equations import Field, clock, fine_grid, time_grid
from dpm_core.continuous.forward import forward_paths
from dpm_core.continuous.solvers import SOLVERS, Solver, integrate, solver

__all__ = ["SOLVERS", "Convergence", "Field", "Reference", "Solver", "between_ends", "bound_of_steps", "clock", "convergence", "fine_grid"]
__all__ += ["forward_paths", "integrate", "solve_reference", "solver", "time_grid"]
