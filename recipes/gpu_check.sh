#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: the engine's tests there, then step times and a replay at the shape of a 7B model.
#
#     recipes/gpu_check.sh trees.jsonl [FOLDER]
#
# trees.jsonl are trees that `apar extract` wrote; the figures are kept in FOLDER (default: gpu-check) as JSON.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: recipes/gpu_check.sh TREES [FOLDER]" >&2; exit 2; }
[ -f "$1" ] || { echo "gpu_check: there is no file $1; make one with apar extract" >&2; exit 2; }
trees=$(realpath "$1")
folder=$(realpath -m "${2:-gpu-check}")
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || {
  echo "gpu_check: PyTorch in $python finds no CUDA device; set PYTHON to one that does" >&2
  exit 1
}
mkdir -p "$folder"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader | tee "$folder/gpu.txt"
"$python" -m pytest --device cuda tests/engine
"$python" -m tests.engine.random_lives --device cuda --static --cases 300
"$python" -m apar bench steps --shape llama-7b --dtype bfloat16 --threads 1,2,4,8,16 --json "$folder/steps.json"
"$python" -m apar bench latency --shape llama-7b --dtype bfloat16 --replay "$trees" --json "$folder/latency.json"
