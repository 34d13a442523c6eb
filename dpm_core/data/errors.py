"""The error that every function of :mod:`dpm_core.data` raises for data that cannot be used."""


class DataError(ValueError):
    """Data that cannot be used. The message is one sentence: what is wrong, with the value found, and what to do."""
