"""Extract trees from one shard of a data set; run it once for each shard, on as many machines as you like.

    python recipes/extract_shards.py chats.parquet trees-0.parquet --shard 0 --shards 2 --workers 2
    python recipes/extract_shards.py chats.parquet trees-1.parquet --shard 1 --shards 2 --workers 2

What a row gives depends on that row alone, so that the shards together are what one run over all of them would
be. Duplicates are found, answers chosen and prompts held out only by `apar extract`.
"""

from __future__ import annotations

import argparse
from functools import partial

import datasets

from apar.corpus.config import ExtractConfig
from apar.corpus.map_batches import extract_rows


def extract_shard(source: str, target: str, shard: int, shards: int, workers: int) -> int:
    """Write the trees of a shard of the Parquet or JSON lines file `source`; returns how many."""
    kind = "parquet" if source.endswith(".parquet") else "json"
    rows = datasets.load_dataset(kind, data_files=source, split="train").shard(shards, shard, contiguous=True)
    function = partial(extract_rows, config=ExtractConfig())
    trees = rows.map(function, batched=True, num_proc=workers, remove_columns=rows.column_names)
    trees.to_parquet(target)
    return len(trees)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    print(extract_shard(**vars(options)), "trees")
