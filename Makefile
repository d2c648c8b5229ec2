# Every verb of the project. `make help` lists them.
# One environment, .venv, built from the locked requirements: `make demo` needs only what the service
# needs (requirements/run.txt); tests and checks need more (requirements/dev.txt).

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help env demo test check contract format bench faults lock clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/.dev ## make .venv with everything locked (tests, checks and benches too)

$(VENV)/.run: requirements/run.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "hannun needs Python 3.11 or newer; looked for '$(PYTHON)'. Say which one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "installing the locked requirements (about a minute, once) ..."
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements/run.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "installing what tests and checks need ..."
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.run ## the whole platform, simulated, on this machine; prints the page's address (KAFKA=1: over a real Kafka)
	@$(BIN)/hannun up --demo $(if $(KAFKA),--kafka) $(if $(HOME_DIR),--home $(HOME_DIR)) $(if $(PORT),--port $(PORT))

# Types and accessibility rules of the page are checked by packages of npm. Without npm these checks are skipped, loudly.
PAGE := tools/page/node_modules/.package-lock.json
$(PAGE): tools/page/package-lock.json
	@if command -v npm >/dev/null; then cd tools/page && npm ci --silent --no-progress; \
	 elif [ "$$CI" = true ]; then echo "CI must check the page too, and there is no npm"; exit 1; \
	 else echo "SKIPPED LOUDLY: the page's types and accessibility rules, for want of npm"; fi

test: $(VENV)/.dev $(PAGE) ## all tests, on a real PostgreSQL, Valkey, Kafka and browser
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev $(PAGE) ## lint, types, SQL, architecture: what CI runs beside the tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/squawk --config .squawk.toml src/hannun/store/migrations/*.sql
	@if [ -f $(PAGE) ]; then cd tools/page && npx --no-install tsc -p .; fi
	@$(BIN)/python tools/contract.py check
	@$(BIN)/python -m pytest -q tests/architecture
	@echo "check: all well"

contract: $(VENV)/.dev ## make docs/openapi.json anew, which says what the API promises
	@$(BIN)/python tools/contract.py write

format: $(VENV)/.dev ## put the code in its form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## what is measured: messages a second, CPU, bytes, freshness
	@$(BIN)/python -m bench $(ARGS)

faults: $(VENV)/.dev ## the long crash and fault histories
	@$(BIN)/python -m pytest -m faults $(ARGS)

lock: ## lock the newest versions that fit pyproject.toml and requirements/*.in (needs uv)
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --extra embedded \
	   --no-header --no-annotate pyproject.toml requirements/build.in -o requirements/run.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --extra embedded --extra parquet \
	   --no-header --no-annotate -c requirements/run.txt pyproject.toml requirements/build.in requirements/dev.in -o requirements/dev.txt

clean: ## remove the environment and what the demo kept
	@rm -rf $(VENV) .hannun
