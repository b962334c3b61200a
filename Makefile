# make demo, make test, make predict IMAGES=...; README.md says more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test test-all test-pythons lint weights predict requirements clean

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
