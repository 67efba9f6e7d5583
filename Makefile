# Every target works on a fresh clone with nothing but Python 3.11+ and make.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-bench/.ready
LOWEST := .venv-lowest/.ready
SIDE_BY_SIDE := --numprocesses auto --dist worksteal
OLD := anomalies client engine findings flatten lake load pages reports snapshot stats

.PHONY: demo test bench-quick zones lowest check docs bench soak notebooks wheel data reference lock clean

demo: $(READY)
	$(BIN)/auditframe demo --out demo

test: $(READY)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not benchmark"

# Whether every benchmark still runs and names what it measures; the peers are left out.
bench-quick: $(READY)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m benchmark

# Every test again that claims something of times, as far ahead of UTC as a zone can be, and half an hour off the hour
# behind it. What is left out is marked zoneless, with the reason.
zones: $(READY)
	TZ=Pacific/Kiritimati $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not zoneless"
	TZ=America/St_Johns $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not zoneless"

# The oldest versions that pyproject.toml allows: whether they flatten, keep a lake, collect and answer alike.
lowest: $(LOWEST)
	.venv-lowest/bin/python -m pytest $(SIDE_BY_SIDE) $(OLD:%=tests/test_%.py)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

docs: $(READY)
	$(BIN)/sphinx-build -W -q -b html docs docs/_build

# In an environment of its own, with the peers: about an hour. QUICK=--quick only proves that each works.
bench: $(PEERS)
	.venv-bench/bin/python benchmarks/flatten.py $(QUICK)
	.venv-bench/bin/python benchmarks/collection.py $(QUICK)
	.venv-bench/bin/python benchmarks/snapshot.py $(QUICK)
	.venv-bench/bin/python benchmarks/startup.py $(QUICK)
	.venv-bench/bin/python benchmarks/lake.py $(QUICK)
	.venv-bench/bin/python benchmarks/reports.py $(QUICK)
	.venv-bench/bin/python benchmarks/anomalies.py $(QUICK)

# Hours: 10,000 random worlds, 200 races, every byte of a lake flipped, a kill and an error at every system call of the
# writers, disks that fill up, power cuts, random sequences, and 200 worlds a report that has a model. A part by itself:
# make soak ONLY="--only races flips"
soak: $(READY)
	$(BIN)/python benchmarks/reliability.py $(ONLY)
	AUDITFRAME_SOAK=1 $(BIN)/python -m pytest tests/test_crash.py tests/test_lake.py tests/test_models.py tests/test_power_cut.py

notebooks: $(READY)
	$(BIN)/python notebooks/execute.py

wheel: $(READY)
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

data: $(READY)
	$(BIN)/python data/make.py

reference: $(READY)
	$(BIN)/python docs/generate.py

# Needs uv on the path. The lock carries versions and hashes, no addresses.
lock:
	uv pip compile pyproject.toml requirements/build.in --extra all --group dev --group docs \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-find-links --output-file requirements/dev.lock
	uv pip compile requirements/peers.in --constraint requirements/dev.lock \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-find-links --output-file requirements/peers.lock
	uv pip compile pyproject.toml --resolution lowest-direct \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-find-links --output-file requirements/lowest.lock

clean:
	rm -rf .venv .venv-bench .venv-lowest demo dist docs/_build

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "auditframe needs Python 3.11 or newer; this is %s. Say which: make PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

$(PEERS): requirements/dev.lock requirements/peers.lock pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock -r requirements/peers.lock
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(PEERS)

$(LOWEST): requirements/dev.lock requirements/lowest.lock pyproject.toml
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/lowest.lock
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(LOWEST)
