"""``python -m auditframe`` is the command ``auditframe``."""

from __future__ import annotations

from auditframe.cli import main

main()
