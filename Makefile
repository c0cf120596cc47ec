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
# The tests that make up their own cases try more of them with STERNA_TEST_EFFORT=20 in the environment.

bin := .venv/bin
native := $(shell find src -name '*.c' 2>/dev/null)
workers ?= 4
# Some images set this; Python would then compile every module anew for each of the thousand processes of a test run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test soak check lint bench lock clean
.DELETE_ON_ERROR:

# The demonstration is content with less than the tests need.
demo: $(if $(wildcard .venv/.installed),.venv/.native,.venv/.demo)
	@$(bin)/sterna demo

# Both parts run even if the first one fails, so that one run shows everything.
test: .venv/.native
	@echo "== servers"
	@$(bin)/python -m tests.servers
	@failed=; \
	echo "== tests without servers"; \
	$(bin)/python -m pytest -q -n $(workers) -m "not server and not slow" || failed=yes; \
	echo "== tests against real servers"; \
	$(bin)/python -m pytest -q -n $(workers) -m "server and not slow" -rs || failed=yes; \
	test -z "$$failed"

soak: .venv/.native
	@$(bin)/python -m pytest -q -n $(workers) -m slow -rs

check: lint
	@echo "== tests without servers, the quick ones"
	@$(bin)/python -m pytest -q -n $(workers) -m "not server and not long and not slow"

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
