# Every target of the project. `make help` lists them.
# One environment, .venv, built from the locked requirements: `make demo` needs only what the service
# needs (requirements/run.txt); tests and checks need more (requirements/dev.txt).

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help env demo test test-quick check contract format bench peers faults deploy-check sbom licences audit lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/.dev ## create .venv, with all that tests, checks and benches need

# PYTHON is resolved here, so that the error names it before anything is made.
INSTALL = command -v $(PYTHON) >/dev/null || { echo "hannun needs Python 3.11 or newer; looked for '$(PYTHON)'. Name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }; \
	$(PYTHON) tools/environment.py $(VENV)

$(VENV)/.run: requirements/run.txt requirements/uv.txt pyproject.toml
	@$(INSTALL) requirements/run.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@$(INSTALL) requirements/dev.txt
	@touch $@

demo: $(VENV)/.run ## everything here, simulated: PORT=8080 HOME_DIR=.hannun KAFKA=1
	@$(BIN)/hannun up --demo $(if $(KAFKA),--kafka) $(if $(HOME_DIR),--home $(HOME_DIR)) $(if $(PORT),--port $(PORT))

# npm packages check the types and the accessibility of the page. Without npm these checks are skipped, with a message.
PAGE := tools/page/node_modules/.package-lock.json
$(PAGE): tools/page/package-lock.json
	@if command -v npm >/dev/null; then cd tools/page && npm ci --silent --no-progress; \
	 elif [ "$$CI" = true ]; then echo "CI must check the page, and there is no npm"; exit 1; \
	 else echo "SKIPPED: types and accessibility of the page, since there is no npm"; fi

test: $(VENV)/.dev $(PAGE) ## all tests, on a real PostgreSQL, Valkey, Kafka and browser
	@$(BIN)/python -m pytest --durations=10 $(ARGS)

# The layers below the interfaces, without Kafka. make test runs the others: cache, web, page, system, embedded, contract.
QUICK := tests/architecture tests/docs tests/domain tests/scheduler tests/store tests/counting tests/flows
test-quick: $(VENV)/.dev ## daily work: the layers below the interfaces, without Kafka
	@$(BIN)/python -m pytest -m "not kafka and not browser and not faults" $(QUICK) $(ARGS)

check: $(VENV)/.dev $(PAGE) ## lint, types, SQL, layers, costs: CI runs this and the tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/squawk --config .squawk.toml src/hannun/store/migrations/*.sql
	@if [ -f $(PAGE) ]; then cd tools/page && npx --no-install tsc -p .; fi
	@$(BIN)/python tools/contract.py check
	@$(BIN)/python -m pytest -q tests/architecture
	@$(BIN)/python -m bench gate
	@echo "check: all well"

contract: $(VENV)/.dev ## regenerate docs/openapi.json, the contract of the API
	@$(BIN)/python tools/contract.py write

format: $(VENV)/.dev ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## measure messages a second, CPU, bytes, freshness
	@$(BIN)/python -m bench $(ARGS)

# bytewax, Quix Streams and ClickHouse, which the bench measures beside Hannun: they ask for older packages than it has.
PEERS := .venv-peers
$(PEERS)/.done: requirements/peers.txt requirements/uv.txt tools/environment.py
	@$(PYTHON) tools/environment.py $(PEERS) requirements/peers.txt --only-packages
	@touch $@

peers: $(VENV)/.dev $(PEERS)/.done ## measure Hannun beside other stream processors, on one topic
	@$(BIN)/python -m bench --only peers $(ARGS)

faults: $(VENV)/.dev ## the long tests of crashes and faults
	@$(BIN)/python -m pytest -m faults $(ARGS)

# The checks have an environment of their own: checkov asks for older packages than the service has.
DEPLOY := .venv-deploy
DEPLOY_TYPES := tools/deploy/node_modules/.package-lock.json
$(DEPLOY)/.done: requirements/deploy.txt requirements/uv.txt tools/deploy/go.sum tools/environment.py
	@$(PYTHON) tools/environment.py $(DEPLOY) requirements/deploy.txt --only-packages
	@cd tools/deploy && GOBIN=$(CURDIR)/$(DEPLOY)/bin go install tool
	@touch $@
$(DEPLOY_TYPES): tools/deploy/package-lock.json
	@cd tools/deploy && npm ci --silent --no-progress

# ClickHouse and Spark, which read the dataset for analysts: 1.4 GB that nothing else needs.
LAKE := .venv-lake
$(LAKE)/.done: requirements/lake.txt requirements/uv.txt tools/environment.py
	@$(PYTHON) tools/environment.py $(LAKE) requirements/lake.txt --only-packages
	@touch $@

deploy-check: $(VENV)/.dev $(DEPLOY)/.done $(DEPLOY_TYPES) $(LAKE)/.done ## image, compose, chart and wheel, without a cluster (Go, npm)
	@$(DEPLOY)/bin/python tools/deploy/check.py
	@$(DEPLOY)/bin/python -m pytest -q -p no:cacheprovider -c tools/deploy/pytest.ini tools/deploy/tests $(ARGS)
	@$(BIN)/python -m pytest -q -m deploy tests/deploy $(ARGS)

# What the image holds, for whoever passes it on or must know whether it is vulnerable.
BILL := .venv-sbom
IMAGE := .venv-image
$(BILL)/.done: requirements/sbom.txt requirements/uv.txt tools/environment.py
	@$(PYTHON) tools/environment.py $(BILL) requirements/sbom.txt --only-packages
	@touch $@
$(IMAGE)/.done: requirements/image.txt requirements/uv.txt tools/environment.py
	@$(PYTHON) tools/environment.py $(IMAGE) requirements/image.txt --only-packages
	@touch $@

sbom: $(BILL)/.done $(IMAGE)/.done ## the bill of materials of the image: build/sbom.cdx.json
	@$(BILL)/bin/python tools/sbom.py $(IMAGE)/bin/python build/sbom.cdx.json

licences: $(IMAGE)/.done ## rewrite docs/licences.md: licences of the image's packages
	@$(IMAGE)/bin/python tools/licences.py write

# Not in CI: it needs the advisories of PyPI or OSV, and a new one must not fail an unchanged tree.
audit: $(BILL)/.done ## known vulnerabilities of the image; status 3: none asked
	@$(BILL)/bin/python tools/audit.py

lock: ## lock the newest versions of all requirements (needs uv)
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --extra embedded \
	   --no-header --no-annotate pyproject.toml requirements/build.in -o requirements/run.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --extra embedded --extra parquet --extra tracing --extra servicebus \
	   --no-header --no-annotate -c requirements/run.txt pyproject.toml requirements/build.in requirements/dev.in -o requirements/dev.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --extra postgres-programs --extra parquet --extra tracing --extra servicebus \
	   --no-header --no-annotate -c requirements/dev.txt pyproject.toml -o requirements/image.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	   --no-header --no-annotate -c requirements/dev.txt requirements/build.in -o requirements/build.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	   --no-header --no-annotate requirements/deploy.in -o requirements/deploy.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	   --no-header --no-annotate requirements/sbom.in -o requirements/sbom.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	   --no-header --no-annotate requirements/lake.in -o requirements/lake.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	   --no-header --no-annotate requirements/peers.in -o requirements/peers.txt
	@uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	   --no-header --no-annotate requirements/uv.in -o requirements/uv.txt

clean: ## remove the environment and the data of the demo
	@rm -rf $(VENV) $(DEPLOY) $(LAKE) $(PEERS) $(BILL) $(IMAGE) .hannun
