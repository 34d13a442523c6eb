"""Models of other programs: import from and export to folders of the library diffusers, and our own U-Net as one exported program."""

from dpm_core.exchange.from_diffusers import import_diffusers
from dpm_core.exchange.to_diffusers import export_diffusers
from dpm_core.exchange.to_torch import export_torch
from dpm_core.exchange.upload import holds_diffusers, unpacked

__all__ = ["export_diffusers", "export_torch", "holds_diffusers", "import_diffusers", "unpacked"]
