"""Controls that all kinds of data share: widgets in, frozen configs out. Every widget is bound to the link under its key."""
