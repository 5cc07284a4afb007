"""A table with a number, two categories and a weight, and its config, for runs of a few seconds."""

import numpy as np

CONFIG = """
data: {{train: train.csv, validation: valid.csv}}
label: {label}
columns:
  x: numeric
  city: categorical
  shop: {{kind: categorical, hash_buckets: 50}}
  w: weight
crosses: [{{columns: [city, shop], bins: 500}}]
model: {{hidden_units: [16]}}
training:
  {{batch_size: 128, checkpoint_steps: 64, eval_steps: 256, steps_per_call: 16, patience: 0}}
evaluation: {{baseline: none}}
"""
LABELS = {
    "regression": "{column: y, task: regression}",
    "binary": '{column: bought, task: binary, positive: "yes"}',
}


def write_shop_table(folder, task="regression"):
    """Write train.csv (4,096 rows), valid.csv (512) and config.yaml; gives the folder."""
    random = np.random.default_rng(5)
    for name, num_rows in (("train", 4096), ("valid", 512)):
        x = random.normal(size=num_rows)
        city, shop = random.integers(0, [[5], [30]], size=(2, num_rows))
        w = random.integers(1, 4, size=num_rows)
        y = x + 0.5 * city - 0.1 * shop * (city == 2) + 0.1 * random.normal(size=num_rows)
        bought = np.where(y > 0.5, "yes", "no")
        rows = zip(x, city, shop, w, y, bought, strict=True)
        lines = [f"{x:.4f},c{c},s{s},{w},{y:.4f},{b}" for x, c, s, w, y, b in rows]
        text = "\n".join(["x,city,shop,w,y,bought", *lines, ""])
        (folder / f"{name}.csv").write_text(text)
    (folder / "config.yaml").write_text(CONFIG.format(label=LABELS[task]))
    return folder
