# What a newcomer needs: `make serve` and `make test`. Only Python 3.11+ and make are given.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/installed

.PHONY: help install serve test checklist check cases coverage truth bench bench-trials bench-load agreement translate responses criteria clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(STAMP) ## .venv with the command cds

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed: make PYTHON=python3.12 install" >&2; exit 1; }
	$(PYTHON) -m venv --clear "$(VENV)"
	"$(VENV)/bin/python" -m pip install --quiet --requirement requirements.lock
	"$(VENV)/bin/python" -m pip install --quiet --no-deps --editable .
	@touch "$(STAMP)"

serve: $(STAMP) ## serve on http://127.0.0.1:8080 (CDS_HOST, CDS_PORT)
	@exec "$(VENV)/bin/cds" serve

test: $(STAMP) ## pass all tests
	@"$(VENV)/bin/python" -m pytest

checklist: $(STAMP) ## hold the running service against the rules of CDS Hooks, from outside, with and without signatures
	@"$(VENV)/bin/python" -m pytest -v tests/hooks/checklist

check: $(STAMP) ## lint and types
	@"$(VENV)/bin/ruff" check .
	@"$(VENV)/bin/ruff" format --check .
	@"$(VENV)/bin/mypy"

truth: $(STAMP) ## random patients whose truth is known: what the engine says of each criterion beside it
	@"$(VENV)/bin/python" -m tests.truth

cases: $(STAMP) ## run the cases of all trials: criteria by cases, and what is not as expected
	@"$(VENV)/bin/cds" cases

coverage: $(STAMP) ## how much of the CQL the cases cover, and each clause that they do not
	@"$(VENV)/bin/cds" cases --gaps

bench: $(STAMP) ## time per patient, as a ratio to reading the JSON, and beside the JavaScript reference engine
	@"$(VENV)/bin/python" benchmarks/match.py
	@"$(VENV)/bin/python" benchmarks/peer.py

bench-trials: $(STAMP) ## time per patient with 4, 100 and 1,000 trials (takes minutes, and 6 GB of memory)
	@"$(VENV)/bin/python" benchmarks/trials.py

bench-load: $(STAMP) ## 16 clients at once, with prefetch and without, with a FHIR server that hangs and a locked database
	@"$(VENV)/bin/python" benchmarks/load.py

agreement: $(STAMP) ## our values beside the JavaScript reference engine's (needs Node)
	@"$(VENV)/bin/python" benchmarks/agreement.py

translate: $(STAMP) ## CQL -> ELM, of the trials and the tests (needs Node)
	@"$(VENV)/bin/cds" translate plandefinitions tests

responses: $(STAMP) ## write anew the responses of hooks/, to be reviewed
	@"$(VENV)/bin/python" -m pytest tests/hooks/test_requests.py --write-responses

criteria: $(STAMP) ## write docs/criteria.md anew from the trials
	@"$(VENV)/bin/cds" check --table docs/criteria.md

clean: ## remove what was installed
	rm -rf "$(VENV)" .cache build *.egg-info
