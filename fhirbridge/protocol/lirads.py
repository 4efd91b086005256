"""CT/MRI LI-RADS v2018: the diagnostic table of major features."""

from __future__ import annotations

from typing import Literal

Aphe = Literal["none", "nonrim", "rim"]
Washout = Literal["absent", "nonperipheral", "peripheral"]
Capsule = Literal["absent", "enhancing", "nonenhancing"]


def major_feature_category(size_mm: int, aphe: Aphe, washout: Washout, capsule: Capsule, growth: bool) -> str:
    """Return LR-3, LR-4 or LR-5 from the diagnostic table of the ACR's CT/MRI LI-RADS v2018 Core.

    Additional major features are nonperipheral washout, enhancing capsule and threshold growth. A single one in an
    enhancing 10 to 19 mm observation is LR-5, unless it is the capsule: then LR-4.
    """
    additional = (washout == "nonperipheral") + (capsule == "enhancing") + growth
    if aphe != "nonrim":
        return "LR-4" if additional >= 2 or (additional == 1 and size_mm >= 20) else "LR-3"
    if size_mm < 10:
        return "LR-4" if additional else "LR-3"
    if size_mm >= 20:
        return "LR-5" if additional else "LR-4"
    if additional == 1 and capsule == "enhancing":
        return "LR-4"
    return "LR-5" if additional else "LR-3"
