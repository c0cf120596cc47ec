# make demo     see a database move, from nothing, in about a minute
# make test     the whole test suite, against real servers
# make check    format, lint, types, walls between the rooms, tests without servers
# make lint     the same without the tests
# make soak     the tests that take long: kills in loops, every backup into a server
# make bench    side by side with what one would use instead; see bench/README.md
# make lock     choose package versions anew
# make clean    take away everything that the others made
#
# Needs Python 3.11 or newer with venv, make, and a package index that pip can reach. No root, no terminal.
# The tests that make up their own cases try the same ones each time; with STERNA_TEST_EFFORT=20 in the environment
# they try twenty times as many, and others each time.

bin := .venv/bin
native := $(shell find src -name '*.c' 2>/dev/null)
workers ?= 4
# Each starts servers, a service and its workers: more at once would only wait for one another.
soakers ?= 2
# Some images set this; Python would then compile every module anew for each of the thousand processes of a test run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test soak check lint bench lock clean
.DELETE_ON_ERROR:

# The demonstration is content with less than the tests need.
demo: $(if $(wildcard .venv/.installed),.venv/.native,.venv/.demo)
	@$(bin)/sterna demo

# All in one run: each worker reads all tests once, and those that wait for servers leave the processor to the others.
# What a worker has left is given to one that has nothing to do: else the longest tests would come last on one of them.
test: .venv/.native
	@echo "== servers"
	@$(bin)/python -m tests.servers
	@echo "== tests, without and against real servers"
	@$(bin)/python -m pytest -q -n $(workers) --dist worksteal -m "not slow" -rs

# One line for each test as it ends, then how long each took: they take minutes each, and hours altogether.
soak: .venv/.native
	@echo "== servers"
	@$(bin)/python -m tests.servers
	@echo "== the tests that take long, $(soakers) at a time"
	@$(bin)/python -m pytest -v -n $(soakers) --dist worksteal -m slow -rs --durations=0 --durations-min=1
	@echo "== cases made up by chance, twenty times as many as in the tests, and others each time"
	@STERNA_TEST_EFFORT=20 $(bin)/python -m pytest -q -n $(soakers) --dist worksteal -m "hypothesis and not slow" -rs

check: lint
	@echo "== tests without servers, the quick ones"
	@$(bin)/python -m pytest -q -n $(workers) --dist worksteal -m "not server and not long and not slow"

lint: .venv/.native
	@echo "== format"
	@$(bin)/ruff format --check .
	@echo "== lint"
	@$(bin)/ruff check .
	@echo "== types"
	@$(bin)/mypy
	@echo "== walls between the rooms"
	@$(bin)/lint-imports

bench: .venv/.native
	@$(bin)/python -m bench.redis_full
	@$(bin)/python -m bench.redis_follow
	@$(bin)/python -m bench.postgres_full
	@$(bin)/python -m bench.postgres_follow
	@$(bin)/python -m bench.postgres_compare
	@$(bin)/python -m bench.sqlserver_backup
	@$(bin)/python -m bench.redis_file

lock: .venv/.native
	@$(bin)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	@scripts/lock

clean:
	rm -rf .venv .cache build dist bench/results .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -name '*.so' -delete

# The stamps: what is there already is not made again.
.venv/.installed: requirements.lock pyproject.toml scripts/install scripts/find-python
	@scripts/install requirements.lock
	@touch $@

.venv/.demo: requirements-demo.lock pyproject.toml scripts/install scripts/find-python
	@scripts/install requirements-demo.lock
	@touch $@

.venv/.native: .venv/.installed scripts/build_native.py $(native)
	@$(bin)/python scripts/build_native.py
	@touch $@
