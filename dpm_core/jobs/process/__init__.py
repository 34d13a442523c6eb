"""A run as a process of its own, which goes on when the program that started it ends."""
