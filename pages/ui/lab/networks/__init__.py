"""The Random networks page: signals in wide networks at initialisation."""
