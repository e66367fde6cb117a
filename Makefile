PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: install loose demo reproduce bench gpu test coverage slow app-test faults nightly docs lint \
	type check wheel-test lower-bounds audit clean

install: $(STAMP)

# With versions and SHA-256 of all packages: Linux on x86_64, Python 3.11. Elsewhere: `make loose`.
# torch: the build for CPUs where pip finds it, else that of pypi.org with CUDA.
PIP := $(BIN)/python -m pip install --quiet --no-deps
$(STAMP): pyproject.toml requirements.txt requirements-cpu.txt requirements-cuda.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --requirement requirements.txt
	$(PIP) --require-hashes --requirement requirements-cpu.txt 2> /dev/null || \
		$(PIP) --require-hashes --requirement requirements-cuda.txt
	$(PIP) --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $@

# The same with the newest versions that constraints.txt allows, for other machines.
loose:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs,browser]'
	touch $(STAMP)

demo: install
	$(BIN)/asyrp demo --photo docs/images/photographs/astronaut.jpg --out demo

# Drawn faces in 2 to 3 hours on 2 cores, photographs several times that; stopped, it goes on.
reproduce: install
	$(BIN)/asyrp reproduce --docs docs --overwrite --dtype auto
	$(BIN)/asyrp reproduce --docs docs --overwrite --dtype auto --domain photographs-64 --pool 200

# Speed and memory on this machine, in about 20 minutes on 2 quiet cores: docs/performance.md.
bench: install
	PYTHONPATH=benchmarks $(BIN)/python -m bench --docs docs

# On a machine with a GPU: its tests, and docs/performance-gpu.md, in at most 8 minutes on an H200.
gpu: install
	PYTHON=$(BIN)/python sh tools/gpu.sh

# A process a core, a file's tests in one of them.
test: install
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

# Lines that the default tests run: of the method and the finders nearly all, of every part most.
coverage: install
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report --include 'src/asyrp/method/*,src/asyrp/finders/*' --fail-under 97
	$(BIN)/coverage report --fail-under 90

slow: install
	$(BIN)/python -m pytest -m slow

# Needs a browser: apt-get install chromium. Writes docs/images/app.png.
app-test: install
	$(BIN)/python -m pytest -rs -m '' tests/app tests/browser

# Kills, full disks, broken downloads, spoilt files, a soak of the app: under 20 minutes on 2 cores.
# As root full and read-only disks are real ones. Writes docs/faults.md.
faults: install
	PYTHONPATH=tests $(BIN)/python -m faults --write docs/faults.md

# The pages as HTML in docs/_build/html; runs the gallery and the notebooks, warnings are errors.
docs: install
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: install
	$(BIN)/mypy

check: lint type test

# Builds the wheel, installs it into an empty environment, and uses it outside of this folder.
wheel-test: install
	$(BIN)/python tools/wheel_test.py

# The default tests on the oldest versions that pyproject.toml allows.
lower-bounds:
	$(PYTHON) -m venv --clear build/lower
	build/lower/bin/python -m pip install --quiet --constraint constraints-lower.txt '.[test]'
	build/lower/bin/python -m pytest

# Known weaknesses of the installed versions; needs pypi.org. A package that is not found is an error.
audit: install
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > build/audit.txt
	build/audit/bin/pip-audit --strict --disable-pip --no-deps --requirement build/audit.txt

# Whatever takes too long for every commit.
nightly: coverage slow app-test faults lower-bounds audit

clean:
	rm -rf $(VENV) demo build dist docs/_build docs/gallery .pytest_cache .mypy_cache .ruff_cache
