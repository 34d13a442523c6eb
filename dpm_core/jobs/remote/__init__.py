"""A run that trains in another process: what the program and the worker say to each other, and the job as the program sees it."""
