"""The Guide page: samples of a class, by a classifier as r(x) and by a class-conditional network."""
