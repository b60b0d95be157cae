#!/usr/bin/env bash
# One model over several machines: tensor parallel within a machine, pipeline parallel between them, by a Ray cluster.
#
#   HEAD=10.0.0.1 bash recipes/vllm/ray_cluster.sh head     # on the first machine
#   HEAD=10.0.0.1 bash recipes/vllm/ray_cluster.sh worker   # on every other one
#   MODEL=/models/forking-70b NODES=2 GPUS=8 bash recipes/vllm/ray_cluster.sh serve   # on the first one, last
#
# Every machine needs the same Python, apar-llm[vllm] and `ray`, and the model under the same path or hub id. vLLM's
# scheduler, and with it forking, lives in one process on the first machine; the workers need nothing of ours.
set -euo pipefail
case "${1:-}" in
head) exec ray start --head --port=6379 --block ;;
worker) exec ray start --address="${HEAD:?the address of the first machine}:6379" --block ;;
serve)
    exec apar serve "${MODEL:?a folder or hub id}" --backend vllm --server vllm --host 0.0.0.0 --port "${PORT:-8000}" \
        --vllm.distributed-executor-backend ray \
        --vllm.tensor-parallel-size "${GPUS:?GPUs of a machine}" \
        --vllm.pipeline-parallel-size "${NODES:?machines}" \
        --vllm.max-num-seqs "${SEQUENCES:-1024}"
    ;;
*)
    echo "usage: $0 head|worker|serve" >&2
    exit 2
    ;;
esac
