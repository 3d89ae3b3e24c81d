"""Services for the recordings: one that may go bad, and a mirror of it that then answers something else."""

from __future__ import annotations

import os
from pathlib import Path

from inferloom.sdk import service

BAD = Path(os.environ["INCIDENT_BAD"])


@service
class Price:
    async def predict(self, amount: float) -> float:
        """The price of an amount."""
        return 2 * amount


@service
class PriceNew:
    async def predict(self, amount: float) -> float:
        """Its next version."""
        if BAD.exists():
            raise RuntimeError("no such column: discount")
        return 2 * amount


@service
class PriceShadow:
    async def predict(self, amount: float) -> float:
        """One that is only compared."""
        return (3 if BAD.exists() else 2) * amount
