# Two commands for newcomers: `make demo` and `make test`. Both set up their own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One heavy test run at a time on small machines: idle OpenMP threads must sleep, not spin.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: constraints demo test coverage lint format docs summary wheel standin jetson clean

demo: $(VENV)/ready
	$(BIN)/snl-edge demo

# A worker for each core, up to four: models are small, so a second thread gains one worker less than a second worker.
# A worker that dies ends the run: started again, it leaves the rest of its file waiting, and the run with it.
test: export OMP_NUM_THREADS := 1
test: $(VENV)/ready
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile $(COVERAGE)

# The same, and which lines ran: what each file leaves out in build/coverage, and an error below the floor in pyproject.
coverage: COVERAGE := --cov --cov-report=term:skip-covered --cov-report=html:build/coverage
coverage: | build
coverage: test

lint: $(VENV)/ready build/types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	cd build/types && $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml --no-logo
	$(BIN)/shellcheck packaging/*.sh .ci/run .ci/resolve-aarch64 .ci/versions
	$(BIN)/hadolint docker/*.Dockerfile

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site in build/site; a broken link fails. It asks nothing of a network.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Every figure in README and docs comes from studies/results through this.
summary: $(VENV)/ready
	$(BIN)/python -m studies.summary

# A CUDA driver and a TensorRT that compute on the CPU, and pycuda built against them (tests/standin): once a machine.
standin: $(VENV)/ready
	$(BIN)/python tests/standin/build.py

# The newest versions that go together, for whoever wants to install just these: `pip install -c constraints.txt …`.
constraints: $(VENV)/ready
	$(BIN)/uv lock --quiet --upgrade
	echo '# Versions that go together, one for each Python and machine that pyproject.toml allows; `make constraints` renews them.' > constraints.txt
	$(BIN)/uv export --quiet --frozen --no-hashes --no-annotate --no-header --all-extras --no-emit-project >> constraints.txt
	rm uv.lock

wheel: $(VENV)/ready
	$(BIN)/uv build --quiet --out-dir dist

# What a Jetson is installed from, in one archive: docs/jetson.md.
jetson: wheel
	rm -rf build/snl-edge-jetson && mkdir -p build/snl-edge-jetson
	cp $$(ls -t dist/snl_edge-*.whl | head -n 1) packaging/* examples/snl-edge.service examples/lines/jetson-csi.yaml build/snl-edge-jetson
	tar -C build -czf dist/snl-edge-jetson.tar.gz snl-edge-jetson

# uv, inside the environment, resolves and installs in seconds what takes pip minutes.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --editable ".[dev]"
	$(BIN)/uv pip install --python $(BIN)/python --no-deps tensorrt-stubs
	touch $@

build:
	mkdir -p $@

# The type checker does not follow setuptools' package-dir: show it the three top-level folders where they import.
.PHONY: build/types
build/types:
	rm -rf $@ && mkdir -p $@/snl_edge
	ln -s $(CURDIR)/snl_edge/* $(CURDIR)/export $(CURDIR)/calibration $(CURDIR)/benchmarks $@/snl_edge/

clean:
	rm -rf $(VENV) build dist demo *.egg-info
