# make demo | test | test-unit | fuzz | compose-test | compose-hosts-test | lint | clean. All but the compose targets first
# make .venv, which needs Python 3.11 or newer, and a C compiler where a package comes without a ready build. Nothing is installed
# outside this folder.

VENV := .venv
STAMP := $(VENV)/.complete
RUN := $(VENV)/bin/python

.PHONY: help demo test test-unit fuzz lint clean environment compose-test compose-hosts-test

help:
	@echo "make demo       train the small model on this machine and show what it learnt"
	@echo "make test       the whole test suite, in several processes (ARGS='-n0 -x tests/e2e': in one, a part of it)"
	@echo "make test-unit  the quick part of it: no processes"
	@echo "make fuzz       the verifier against random and hostile answers (ARGS='--minutes 30')"
	@echo "make compose-test  images, docker compose, scaling, kills; needs a Docker engine (docs/operations.md)"
	@echo "make compose-hosts-test  one run over two hosts that share no disk, with the images of compose-test"
	@echo "make lint       ruff and mypy"
	@echo "make clean      remove the environment, caches and runs"

demo: $(STAMP)
	@exec $(RUN) -P -m vapo.cli demo $(ARGS)

test: $(STAMP)
	$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-unit: $(STAMP)
	$(RUN) -m pytest tests/unit tests/property -m "not slow" $(ARGS)

fuzz: $(STAMP)
	$(RUN) -m lab.benchmarks.verifier_fuzz $(ARGS)

lint: $(STAMP)
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

environment: $(STAMP)

# Needs Docker and Python only; variables are documented in tests/compose/run.py.
compose-test:
	@python="$$(sh scripts/python.sh)" && exec "$$python" -m tests.compose.run

compose-hosts-test:
	@python="$$(sh scripts/python.sh)" && exec "$$python" -m tests.compose.hosts

$(STAMP): constraints.txt pyproject.toml scripts/bootstrap.py scripts/python.sh
	@python="$$(sh scripts/python.sh)" && exec "$$python" scripts/bootstrap.py

clean:
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
