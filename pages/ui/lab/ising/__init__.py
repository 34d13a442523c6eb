"""The Minimum probability flow page: learning couplings without a partition function."""
