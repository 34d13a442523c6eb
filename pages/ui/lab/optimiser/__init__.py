"""The Sum of functions page: an optimiser of minibatches without a step size."""
