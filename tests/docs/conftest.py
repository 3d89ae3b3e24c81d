"""Pages end what they start with SIGINT, which must not be ignored here."""

from __future__ import annotations

import signal

# A shell starts what it runs in the background with SIGINT ignored, and that would be inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
