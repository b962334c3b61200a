# make demo, make test, make predict IMAGES=...; README.md says more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo predict weights gpu cluster torch onnx bundle lint requirements clean
.PHONY: test test-long test-all test-converters test-pythons test-systems

# the first of these that works; 3.11 comes first, since it is tested most; PYTHON=... names another
PYTHON ?= $(shell for python in python3.11 python3 python3.13 python3.12 python3.14 python3.10 python3.9 python3.15; do \
    $$python requirements/check_python.py 2>/dev/null && echo $$python && break; done)
PYTHONS := 3.9 3.10 3.11 3.12 3.13 3.14 3.15
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP = $(RUN) -m pip --quiet --disable-pip-version-check
INSTALL = $(PIP) install --require-hashes --only-binary :all: --no-binary Theano,Lasagne
SECONDS_NOW := $(shell date +%s)
ELAPSED = echo "$@: $$(( $$(date +%s) - $(SECONDS_NOW) )) s"

# packages of another Python, such as `module load` provides, do not belong in this environment
unexport PYTHONPATH PYTHONHOME

# --- the environment: made once; needs no network afterwards ---

# recreated if its Python has gone, or if PYTHON=... names another version
which = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifneq ($(wildcard $(VENV)/bin),)
    HERE := $(call which,$(RUN))
    ifeq ($(HERE),)
        ANEW := anew
    else ifneq ($(origin PYTHON),file)
        ifneq ($(HERE),$(call which,$(PYTHON)))
            ANEW := anew
        endif
    endif
endif
.PHONY: anew

# OFFLINE=bundle.tar, made by `make bundle`, or the folder that it was unpacked to: packages come from there
ifdef OFFLINE
    export PIP_NO_INDEX := 1
    export PIP_FIND_LINKS = $(abspath $(VENV))/packages
    UNPACK = $(RUN) requirements/bundle.py --unpack "$(OFFLINE)" $(VENV)/packages
endif

$(VENV)/run.stamp: requirements/build.txt requirements/run.txt $(ANEW)
	@command -v $(or $(PYTHON),python3) >/dev/null || \
	    { echo "no python3 found (Debian: apt-get install python3 python3-venv python3-dev g++)" >&2; exit 2; }
	@$(or $(PYTHON),python3) requirements/check_python.py
	$(PYTHON) -m venv $(if $(ANEW),--clear) $(VENV)
	$(UNPACK)
	$(INSTALL) -r requirements/build.txt
	PYTHONPATH="$(CURDIR)/requirements/build" $(INSTALL) --no-build-isolation -r requirements/run.txt
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	$(INSTALL) -r requirements/dev.txt
	touch $@

# --scheduler of 01, 03 and 04: docs/cluster.md
$(VENV)/cluster.stamp: $(VENV)/run.stamp requirements/cluster.txt
	$(INSTALL) -r requirements/cluster.txt
	touch $@

# the packages that weights/convert.py writes for; without hashes, see requirements/converters.txt
$(VENV)/converters.stamp: $(VENV)/dev.stamp requirements/converters.txt
	$(PIP) install -r requirements/converters.txt
	touch $@

# what device=cuda needs in addition; Debian 12 only, see docker/README.md
$(VENV)/gpu.stamp: $(VENV)/run.stamp requirements/gpu.txt requirements/gpu.py requirements/capability.cpp requirements/capability.cpp
	$(INSTALL) -r requirements/gpu.txt
	$(RUN) requirements/gpu.py
	touch $@

# --- use ---

# three photographs that come with scikit-image, and stand-in weights: not SalGAN's, for trying the pipeline
DEMO := demo
PHOTOGRAPHS := astronaut chelsea coffee

demo: $(VENV)/run.stamp
	mkdir -p $(DEMO)/images
	$(RUN) -c 'import skimage.data, PIL.Image; [PIL.Image.fromarray(getattr(skimage.data, name)()).save(f"$(DEMO)/images/{name}.png") for name in "$(PHOTOGRAPHS)".split()]'
	$(RUN) weights/make_standin.py --output $(DEMO)/standin_modelWeights.npz
	$(RUN) 03-predict.py $(DEMO)/images --output $(DEMO)/saliency --weights $(DEMO)/standin_modelWeights.npz \
	    --format jpg,overlay
	@echo "look at $(DEMO)/saliency/contact_sheet.jpg (made with stand-in weights, not SalGAN's)"
	@$(ELAPSED)

# IMAGES: files and folders; quote names with spaces for the shell
IMAGES ?= images/
predict: $(VENV)/run.stamp
	$(RUN) weights/fetch.py gen_modelWeights0090.npz
	$(RUN) 03-predict.py $(IMAGES)
	@$(ELAPSED)

weights: $(VENV)/run.stamp
	$(RUN) weights/fetch.py
	@$(ELAPSED)

# reports in one line what device=cuda finds here
gpu: $(VENV)/gpu.stamp
	@THEANO_FLAGS="$${THEANO_FLAGS:-},device=cuda" $(RUN) -m backend
	@$(ELAPSED)

cluster: $(VENV)/cluster.stamp
	@$(ELAPSED)

# the released weights for PyTorch and ONNX: docs/python.md
CONVERTERS := .venv-converters
torch onnx:
	$(MAKE) VENV=$(CONVERTERS) $(CONVERTERS)/converters.stamp
	$(CONVERTERS)/bin/python weights/fetch.py gen_modelWeights0090.npz
	$(CONVERTERS)/bin/python weights/convert.py --to $@ --output weights/gen_modelWeights0090.$(if $(filter torch,$@),pt,onnx)
	@$(ELAPSED)

# --- for machines without a network ---

# the project and all its packages for this Python and this kind of machine, in one file
BUNDLE ?= bundle.tar
bundle: $(VENV)/run.stamp
	$(RUN) requirements/bundle.py --make "$(BUNDLE)"
	@$(ELAPSED)

# --- checks ---

# as many workers as cores; each file, or group of tests that share compiled code, stays in one worker
WORKERS ?= 2
PYTEST = $(RUN) -m pytest -n $(WORKERS)

test: $(VENV)/dev.stamp
	$(PYTEST) -m "not long and not nightly"
	@$(ELAPSED)

# tests that take minutes; .ci/run runs these too
test-long: $(VENV)/dev.stamp
	$(PYTEST) -m "long and not nightly"
	@$(ELAPSED)

# everything, which takes hours
test-all: $(VENV)/dev.stamp
	$(PYTEST)
	@$(ELAPSED)

# weights/convert.py compared with PyTorch and onnxruntime
test-converters:
	$(MAKE) VENV=$(CONVERTERS) $(CONVERTERS)/converters.stamp
	SALGAN_TEST_CONVERTERS=1 $(CONVERTERS)/bin/python -m pytest tests/test_convert.py tests/test_programs.py::test_the_benchmark_of_the_cpu
	@$(ELAPSED)

# every supported Python that is found, each in its own environment
test-pythons:
	for version in $(PYTHONS); do \
	    for python in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python python$$version; do \
	        if $$python -c '' 2>/dev/null; then \
	            $(MAKE) test PYTHON=$$python VENV=.venv-$$version; \
	            break; \
	        fi; \
	    done; \
	done

# `make demo` from an empty home, and tests, on fresh Debians in folders; needs root and a network
SYSTEMS ?= bookworm trixie sid
test-systems: $(VENV)/dev.stamp
	$(RUN) tests/systems.py $(SYSTEMS)
	@$(ELAPSED)

CPP := $(wildcard backend/*.cpp backend/*.h tests/*.cpp tests/*.h)
lint: $(VENV)/dev.stamp
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	for script in 0*.py; do $(RUN) -m mypy $$script; done
	$(VENV)/bin/clang-format --dry-run --Werror $(CPP)
	$(VENV)/bin/clang-tidy --quiet backend/winograd.cpp backend/convolutions.cpp -- \
	    -std=c++14 -fopenmp -mavx2 -mfma -idirafter $$(g++ -print-file-name=include)
	@$(ELAPSED)

# --- maintenance ---

# renews pins and hashes from the .in files for every supported Python, then checks that each has wheels.
# Needs uv
WHEELS := --only-binary :all: --no-binary theano --no-binary lasagne
requirements: export UV_PYTHON_DOWNLOADS := never
requirements:
	cd requirements; \
	for name in run build cluster dev; do \
	    uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.9 $(WHEELS) $$name.in -o $$name.txt; \
	done; \
	uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 gpu.in -o gpu.txt; \
	for version in $(PYTHONS); do \
	    for machine in x86_64 aarch64; do \
	        uv pip compile --quiet --no-deps --python-version $$version --python-platform $$machine-manylinux_2_28 \
	            $(WHEELS) run.txt build.txt cluster.txt dev.txt > /dev/null; \
	    done; \
	done

clean:
	rm -rf $(VENV) .venv-3.* $(CONVERTERS) $(DEMO) .mypy_cache .ruff_cache .pytest_cache
