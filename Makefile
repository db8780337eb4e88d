# `make demo` and `make test` need nothing but Python >= 3.11 and make. PYTHON=… chooses the interpreter.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
LOG := build/install.log
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format schema coverage generated kinds zoo faults recovery bench clean

help:
	@echo "make demo    port MediaPipe's palm detector into Keras and verify it (writes build/demo/)"
	@echo "make test    ruff, mypy and pytest"
	@echo "make lint    ruff and mypy only"
	@echo "make format  let ruff rewrite the sources"
	@echo "make schema  write docs/*.schema.json from the classes of mappings and reports"
	@echo "make coverage  write the derived sections of docs/coverage.md"
	@echo "make generated  write the sources that docs/generated.md shows, of files that are there"
	@echo "make kinds   port every kind of layer and model of the tests in every form of file; resumes; KINDS_OPTIONS=…"
	@echo "make zoo     port all 40 Keras Applications in every mode, names removed; resumes; MODELS=… MODES=… QUICK=1"
	@echo "make faults  plant every fault that fits, one at a time, and look for each in the diff; FAULTS_OPTIONS=…"
	@echo "make recovery  recover the files in FILES=… and judge each: exact, saved, written as code, ported, a file again"
	@echo "make bench   time reading, tracing, porting and the page of 3,000 operators (its file takes minutes, once)"
	@echo "make clean   remove build/ and the caches, keep $(VENV)"

# $(call install,EXTRA): pip's own output goes to a log, its failure becomes one line.
define install
	@echo "== installing tflrecover[$(1)] into $(VENV) (TensorFlow is large: the first time takes minutes)"
	@mkdir -p build
	@$(RUN) -m pip install --retries 2 --timeout 30 -e '.[$(1)]' > $(LOG) 2>&1 || { \
		if grep -Eq 'NewConnectionError|ConnectTimeout|ReadTimeout|NameResolution|ProxyError|Connection broken' $(LOG); \
		then echo "make: no network: pip cannot reach the package index; connect and run make again (details: $(LOG))" >&2; \
		else echo "make: pip failed: $$(grep -E '^ *(ERROR|error):' $(LOG) | tail -n 1) (details: $(LOG))" >&2; fi; \
		exit 1; }
	@touch $@
endef

$(VENV)/.created:
	@echo "== creating $(VENV) with $(PYTHON)"
	@command -v $(PYTHON) > /dev/null || { echo "make: there is no $(PYTHON); install Python >= 3.11 or set PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $$($(PYTHON) --version) is too old: tflrecover needs Python >= 3.11; set PYTHON=…" >&2; exit 1; }
	@mkdir -p build
	@$(PYTHON) -m venv $(VENV) > $(LOG) 2>&1 || { \
		echo "make: $(PYTHON) cannot create virtual environments (on Debian: apt install python3-venv; details: $(LOG))" >&2; \
		rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/.examples: $(VENV)/.created pyproject.toml
	$(call install,examples)

$(VENV)/.dev: $(VENV)/.created pyproject.toml
	$(call install,dev)

demo: $(VENV)/.examples
	@echo "== fetching the palm detector"
	@$(RUN) -m examples.blazepalm.fetch --out build/demo
	@echo "== porting and verifying it"
	@$(RUN) -m examples.blazepalm.demo --out build/demo --model-file build/demo/palm_detection_full.tflite

lint: $(VENV)/.dev
	@echo "== ruff check"
	@$(RUN) -m ruff check .
	@echo "== ruff format --check"
	@$(RUN) -m ruff format --check .
	@echo "== mypy"
	@$(RUN) -m mypy

test: lint
	@echo "== pytest"
	@$(RUN) -m pytest -n 2

format: $(VENV)/.dev
	@$(RUN) -m ruff check --fix . ; $(RUN) -m ruff format .

schema: $(VENV)/.dev
	$(call write_schema,mapping,tflrecover.mapping.model)
	$(call write_schema,report,tflrecover.report.schema)

# $(call write_schema,FORMAT,MODULE): the file appears complete or not at all.
define write_schema
	@echo "== writing docs/$(1).schema.json"
	@$(RUN) -c 'from $(2) import schema_text; print(schema_text(), end="")' > docs/$(1).schema.json.new
	@mv docs/$(1).schema.json.new docs/$(1).schema.json
endef

coverage: $(VENV)/.dev
	@echo "== writing docs/coverage.md"
	@$(RUN) -m benchmarks.coverage

generated: $(VENV)/.dev
	@echo "== writing docs/generated.md"
	@$(RUN) -m tests.generation.documented

# KINDS_OPTIONS="lstm gru --forms int8 --again" chooses less or more; it goes on where it was cut off.
kinds: $(VENV)/.dev
	@$(RUN) -m benchmarks.kinds $(KINDS_OPTIONS)

# MODELS="MobileNetV2 ResNet50" MODES=fp32,int8 QUICK=1 ZOO_OPTIONS=--again choose less or more; it goes on where it was cut off.
zoo: $(VENV)/.dev
	@$(RUN) -m benchmarks.zoo $(MODELS) $(if $(MODES),--modes $(MODES)) $(if $(QUICK),--quick) $(ZOO_OPTIONS)

# FAULTS_OPTIONS="unet --only Conv2D --verbose" chooses less or shows more.
faults: $(VENV)/.dev
	@echo "== planting faults"
	@$(RUN) -W ignore -m benchmarks.faults $(FAULTS_OPTIONS)

recovery: $(VENV)/.dev
	@$(RUN) -W ignore -m benchmarks.recovery $(FILES)

bench: $(VENV)/.dev
	@echo "== timing"
	@$(RUN) -m benchmarks.speed
	@$(RUN) -m benchmarks.page

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
