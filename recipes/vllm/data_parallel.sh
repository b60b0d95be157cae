#!/usr/bin/env bash
# Copies of one model over several machines, behind one address: vLLM's data parallelism.
#
#   HEAD=10.0.0.1 MODEL=… RANKS=16 LOCAL=8 bash recipes/vllm/data_parallel.sh head      # on the first machine
#   HEAD=10.0.0.1 MODEL=… RANKS=16 LOCAL=8 FIRST=8 bash recipes/vllm/data_parallel.sh follower   # on the second one
#
# RANKS counts all copies, LOCAL those of this machine, FIRST is the number of its first copy. vLLM sends a request to
# the copy with the least to do; its threads stay there, for they are made inside that copy's core.
set -euo pipefail
common=(--backend vllm --server vllm
    --vllm.data-parallel-size "${RANKS:?copies in all}"
    --vllm.data-parallel-size-local "${LOCAL:?copies on this machine}"
    --vllm.data-parallel-address "${HEAD:?the address of the first machine}"
    --vllm.data-parallel-rpc-port "${RPC_PORT:-13345}")
case "${1:-}" in
head) exec apar serve "${MODEL:?a folder or hub id}" "${common[@]}" --host 0.0.0.0 --port "${PORT:-8000}" ;;
follower)
    # A follower has copies only and no server: vLLM's own command, with our scheduler.
    exec vllm serve "${MODEL:?a folder or hub id}" --headless \
        --scheduler-cls apar.backends.vllm.scheduler.ForkScheduler \
        --data-parallel-size "$RANKS" --data-parallel-size-local "$LOCAL" \
        --data-parallel-start-rank "${FIRST:?the number of the first copy of this machine}" \
        --data-parallel-address "$HEAD" --data-parallel-rpc-port "${RPC_PORT:-13345}"
    ;;
*)
    echo "usage: $0 head|follower" >&2
    exit 2
    ;;
esac
