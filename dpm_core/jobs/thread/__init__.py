"""A run as a thread: what happens inside the process that trains."""
