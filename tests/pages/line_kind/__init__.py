"""A fourth kind of data, in one folder: points on a line. The test enters it in the registry of kinds by one line."""

from tests.pages.line_kind.kind import LINE

__all__ = ["LINE"]
