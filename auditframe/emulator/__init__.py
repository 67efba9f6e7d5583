"""The audit log endpoint as a WSGI app, with its quirks and with faults on request.

::

    app = Emulator(sample().events, key="sk-admin-emulator")
    with serve(app) as base_url:
        ...                             # GET {base_url}/organization/audit_logs
"""

from __future__ import annotations

from auditframe.emulator.app import Emulator, Request
from auditframe.emulator.behaviour import Behaviour, Fault, RateLimit
from auditframe.emulator.server import serve
from auditframe.emulator.worlds import random_behaviour

__all__ = ["Behaviour", "Emulator", "Fault", "RateLimit", "Request", "random_behaviour", "serve"]
