"""What is measured of a model: the bound K, where every bit goes, likelihoods, entropies and distances."""
