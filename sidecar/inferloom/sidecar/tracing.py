"""Where Triton sends its part of the traces.

The mesh's roles send OTLP over gRPC, Triton sends it over HTTP: to another port of the same receiver.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.telemetry.tracing import configured_endpoint

__all__ = ["RECEIVER", "receiver_from_environment"]

RECEIVER = "INFERLOOM_TRITON_OTLP"  # "http://HOST:4318/v1/traces", or "off"
PORT, PATH = 4318, "/v1/traces"  # of OTLP over HTTP, as its specification has them


def receiver_from_environment() -> str:
    """$INFERLOOM_TRITON_OTLP, else port 4318 of the host of $OTEL_EXPORTER_OTLP_ENDPOINT; "": Triton traces nothing.

    Raises:
        ConfigError: it is no URL of HTTP.
    """
    given = os.environ.get(RECEIVER, "").strip()
    if given == "off":
        return ""
    if given:
        if urlsplit(given).scheme not in ("http", "https") or not urlsplit(given).hostname:
            raise ConfigError(f"{RECEIVER}={given}: http://HOST:{PORT}{PATH}, or off")
        return given
    endpoint = configured_endpoint()
    if not endpoint:
        return ""
    at = urlsplit(endpoint if "//" in endpoint else f"http://{endpoint}")
    host = at.hostname or "localhost"
    named = f"[{host}]" if ":" in host else host
    return f"{at.scheme or 'http'}://{named}:{PORT}{PATH}"
