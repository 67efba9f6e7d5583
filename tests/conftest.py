"""What several tests share: a small made-up organization and the endpoint that serves it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import settings

from auditframe.client import Client, Retry
from auditframe.sample import Sample, sample

if TYPE_CHECKING:
    from auditframe.emulator import Emulator

# Whoever starts the tests in the background may have Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No time is a test: a busy machine is slow.
settings.register_profile("auditframe", deadline=None)
settings.load_profile("auditframe")

KEY = "sk-admin-emulator"
HASTY = Retry(attempts=3, timeout_s=5.0, wait_initial_s=0.001, wait_max_s=0.002, jitter_s=0.0)


@pytest.fixture(scope="session")
def organization() -> Sample:
    """2,000 events over 20 days."""
    return sample(seed=11, events=2_000, days=20, end="2026-11-01")


def connected(emulator: Emulator, *, key: str = KEY) -> Client:
    """Return a client that asks an emulator in process."""
    return Client(key, base_url="http://emulator/v1", transport=httpx.WSGITransport(app=emulator), retry=HASTY)
