"""A FastAPI application as a service: authentication, validation and a look-up, around a model of the mesh.

    pip install "inferloom[examples]"
    READERS='{"s3cret": "mail-room"}' inferloom up examples/fastapi/app.py
    curl localhost:8080/letters/digit -H 'authorization: Bearer s3cret' -d '{"station": "north", "pixels": [0, 0, ...]}'

The mesh gives it balancing, deadlines and traces for `digits`; everything else is FastAPI as anywhere.
"""

from __future__ import annotations

import hmac
import json
import os
from typing import Annotated

import numpy as np
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

from inferloom.sdk import NoReplica, Unreachable, model, service

digits = model("digits", source="../digits/mlp.onnx")

STATIONS = {"north": "Sorting hall A", "south": "Sorting hall B"}  # a look-up; in life a table of a database
READERS: dict[str, str] = json.loads(os.environ.get("READERS", "{}"))  # token -> who it belongs to


class Scan(BaseModel):
    """What a station sends."""

    model_config = {"extra": "forbid"}
    station: str
    pixels: Annotated[list[Annotated[float, Field(ge=0, le=16)]], Field(min_length=64, max_length=64)]


class Reading(BaseModel):
    digit: int
    sure: float
    hall: str
    reader: str


def reader(authorization: Annotated[str, Header()] = "") -> str:
    """Who asks; 401 where the token is none of ours. Every token is compared, so that time tells nothing."""
    token = authorization.removeprefix("Bearer ").encode()
    known = [who for other, who in READERS.items() if hmac.compare_digest(token, other.encode())]
    if not known:
        raise HTTPException(401, "no valid token", {"WWW-Authenticate": "Bearer"})
    return known[0]


def hall(scan: Scan) -> str:
    """The look-up; 404 names what is not there."""
    if scan.station not in STATIONS:
        raise HTTPException(404, f"station: there is no {scan.station!r}; there are {', '.join(STATIONS)}")
    return STATIONS[scan.station]


app = FastAPI(title="Letters")


@app.post("/digit")
async def read(scan: Scan, who: Annotated[str, Depends(reader)], where: Annotated[str, Depends(hall)]) -> Reading:
    """Which digit a scan shows."""
    try:
        out = await digits(pixels=np.array([scan.pixels], np.float32))
    except (NoReplica, Unreachable) as error:
        raise HTTPException(503, str(error)) from None
    return Reading(digit=int(out.label.item()), sure=float(out.probabilities.max()), hall=where, reader=who)


letters = service(asgi=app)
