"""What the pages share: controls, session state, caches, stages and the two-way components."""
