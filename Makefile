# make demo, make test, make predict IMAGES=...; README.md says more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo gpu test test-all test-pythons lint weights predict requirements clean

# the first of these that runs; 3.11 is what the pinned requirements are made for
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP = $(RUN) -m pip install --quiet --disable-pip-version-check
SECONDS_NOW := $(shell date +%s)
ELAPSED = echo "$@: $$(( $$(date +%s) - $(SECONDS_NOW) )) s"

# --- the environment: made once, then never touches the network again ---

$(VENV)/run.stamp: requirements/build.txt requirements/run.txt requirements/other-pythons.txt
	@test -n "$(PYTHON)" || { echo "no python3 found: install Python 3.11 (Debian: python3.11 python3.11-venv python3.11-dev)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	if $(RUN) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
	    $(PIP) --require-hashes -r requirements/build.txt; \
	    $(PIP) --require-hashes --no-build-isolation -r requirements/run.txt; \
	else \
	    $(PIP) --require-hashes -r requirements/build.txt; \
	    PYTHONPATH="$(CURDIR)/requirements/build" $(PIP) --no-build-isolation -r requirements/other-pythons.txt; \
	fi
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	if $(RUN) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
	    $(PIP) --require-hashes -r requirements/dev.txt; \
	fi
	touch $@

# what device=cuda needs besides: Debian 12 only, as docker/README.md says
$(VENV)/gpu.stamp: $(VENV)/run.stamp requirements/gpu.txt requirements/gpu.py
	$(PIP) --require-hashes -r requirements/gpu.txt
	$(RUN) requirements/gpu.py
	touch $@

# --- what it is for ---

# three photographs that come with scikit-image, and stand-in weights: not SalGAN's, for trying the pipeline
DEMO := demo
PHOTOGRAPHS := astronaut.png chelsea.png coffee.png

demo: $(VENV)/run.stamp
	mkdir -p $(DEMO)/images
	folder=$$($(RUN) -c 'import os, skimage.data; print(os.path.dirname(skimage.data.__file__))'); \
	for name in $(PHOTOGRAPHS); do cp "$$folder/$$name" $(DEMO)/images/; done
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

# says in one line what device=cuda finds here
gpu: $(VENV)/gpu.stamp
	@THEANO_FLAGS="$${THEANO_FLAGS:-},device=cuda" $(RUN) -m backend
	@$(ELAPSED)

# --- checks ---

test: $(VENV)/dev.stamp
	$(RUN) -m pytest -m "not long"
	@$(ELAPSED)

test-all: $(VENV)/dev.stamp
	$(RUN) -m pytest
	@$(ELAPSED)

# every supported Python that is found, each in an environment of its own
test-pythons:
	for version in 3.9 3.10 3.11 3.12 3.13; do \
	    for python in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python python$$version; do \
	        if $$python -c '' 2>/dev/null; then \
	            $(MAKE) test PYTHON=$$python VENV=.venv-$$version; \
	            break; \
	        fi; \
	    done; \
	done

lint: $(VENV)/dev.stamp
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	for script in 0*.py; do $(RUN) -m mypy $$script; done
	@$(ELAPSED)

# --- upkeep ---

# pins and hashes anew, from the .in files; needs uv
requirements:
	cd requirements && for name in build run dev gpu; do \
	    uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 $$name.in -o $$name.txt; \
	done

clean:
	rm -rf $(VENV) .venv-3.* $(DEMO) .mypy_cache .ruff_cache .pytest_cache
