# `make` prints the targets; `make demo` and `make test` set up what they need.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install demo lint test bench peers gallery docs gpu mutants soak tables lowest clean

help:     ## print these targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 12

install: .venv/installed  ## make .venv and install the package, editable, with its development extras
.venv/installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv: a few minutes, the first time."
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: install  ## train the variational autoencoder on handwritten digits, in under a minute
	@$(BIN)/ae-lightning fit --config vae --config digits

lint: install  ## check style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy ae_lightning datamodules callbacks

test: lint  ## check style and types, and run doctests and tests
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lowest:  ## run the tests in .lowest, with the lowest versions that pyproject.toml admits
	@test -x .lowest/bin/python || $(PYTHON) -m venv .lowest
	@.lowest/bin/python -m pip install --quiet uv
	@.lowest/bin/uv pip install --python .lowest --resolution lowest-direct --editable '.[dev]'
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 .lowest/bin/python -m pytest --numprocesses 2 --dist loadfile

WRITE = $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(JSON),--json $(JSON)) $(if $(TABLE),--markdown $(TABLE))
bench: install  ## print the ratios of training speed, each with its spread; ONLY="shipped startup" runs some
	PYTHONPATH=tests $(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(WRITE)

PEERS := pythae disent autoencoders
peers: install $(PEERS:%=.peers/%/installed)  ## train other libraries beside ours, each in an environment of its own: minutes
	PYTHONPATH=tests $(BIN)/python -m bench --only peers $(WRITE)

# What .venv has, such as torch, is shared, where a library's own versions allow it.
.peers/%/installed: .venv/installed
	@$(BIN)/python -m venv --clear .peers/$*
	@$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
		> $$(.peers/$*/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/shared.pth
	@.peers/$*/bin/python -m pip install --quiet $*
	@touch $@

gallery: install  ## remake the pictures of README and docs by the commands below them; ONLY="filters" some: half an hour
	PYTHONPATH=tests $(BIN)/python -m gallery $(ONLY)

docs: .venv/docs  ## build the documentation, every example run, into docs/_build/html: minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -j 2 -q docs docs/_build/html
.venv/docs: .venv/installed
	@$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

gpu: install  ## try and time training on a GPU, or say that there is none; ONLY="speed images" runs some: minutes
	PYTHONPATH=tests $(BIN)/python -m gpu $(ONLY) $(if $(JSON),--json $(JSON))

mutants: install  ## put errors into the mathematics, which tests and claims must see; ONLY="mmd" runs some: minutes
	PYTHONPATH=tests $(BIN)/python -m mutants $(ONLY)

soak: install  ## kill, stop and damage real runs, and compare; ONLY="sigkill" runs some: minutes
	PYTHONPATH=tests $(BIN)/python -m soak $(ONLY)

tables: install  ## run what docs/results.md lacks: an hour; ONLY="linear" some, ALL=1 days too, QUICK=1 tries all
	PYTHONPATH=tests $(BIN)/python -m tables $(ONLY) $(if $(ALL),--all) $(if $(QUICK),--quick)

clean:  ## remove what the targets made, but for runs and data
	rm -rf .venv .lowest .peers build dist docs/_build .mypy_cache .ruff_cache .pytest_cache *.egg-info
