"""Data sets: points in the plane (:mod:`~dpm_core.data.toy2d`), :mod:`~dpm_core.data.images` and :mod:`~dpm_core.data.bits`.

Each data set can be sampled and, where its distribution is known, gives its log likelihood and entropy.
:mod:`~dpm_core.data.kinds` holds what differs between the three kinds, :mod:`~dpm_core.data.sources` makes any set by its name.
"""
