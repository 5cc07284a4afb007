"""report.json of runs that never were, one of each task, with every section and untrusted texts."""

import numpy as np

EVIL = "<script>alert('x')</script> $\\frac$ & \"q\" |"
TASKS = ("regression", "binary", "multiclass", "multilabel")
_METRICS = {
    "regression": {"rmse": 1.17, "mae": 0.9, "r2": 0.983},
    "binary": {"log_loss": 0.31, "auc": 0.873, "pr_auc": 0.61},
    "multiclass": {"log_loss": 0.8, "accuracy": 0.71},
    "multilabel": {"log_loss": 0.2, "macro_auc": 0.88},
}


def planted_report(task="regression"):
    """A report whose numbers are all different enough to be found again."""
    metrics = _METRICS[task] | {"mean_prediction": 11.32, "mean_label": 11.28, "num_rows": 1500}
    part = {"regression": _regression, "binary": _binary}.get(task, _classes)()
    steps = list(range(40, 1200, 40))
    decay = np.exp(-np.arange(len(steps)) / 8)
    monitor = next(iter(_METRICS[task]))
    return {
        "task": task,
        "label": "fare",
        "metrics": {"validation": metrics, "test": metrics},
        "by_class": {},
        "baselines": {
            "constant": {p: {k: 2 * v for k, v in metrics.items()} for p in ("validation", "test")},
            "wide_only": {p: {k: 1.25 * v for k, v in metrics.items()} for p in ("test",)},
        },
        "monitor": monitor,
        "kept_step": 840,
        "last_step": 1160,
        "stopped_by": "patience",
        "rows": {"train": 7000, "validation": 1500, "test": 1501},
        "num_weights": 23456,
        "examples_per_second": 123456,
        "seconds": {"prepare": 2.5, "train": 5.25, "evaluate_and_export": 4.125, "total": 11.875},
        "model_dir": "runs/x/model",
        "export_max_difference": 1.5e-7,
        "versions": {"trainer": "1.2.3", "tensorflow": "2.21.0"},
        "origin": {
            "started": "2026-11-21 20:00:00 UTC",
            "finished": "2026-11-21 20:00:12 UTC",
            "git_revision": "0123456789ab",
            "config": f"label:\n  column: fare # {EVIL}\n",
        },
        "verdict": ["It is good.", f"Worst slice: {EVIL}.", "The doctor found no illness."],
        "curves": {
            "step": steps,
            "loss": (0.2 + decay).round(4).tolist(),
            f"val_{monitor}": (1.1 + 5 * decay).round(4).tolist(),
            "wide_learning_rate": [0.05] * len(steps),
            "deep_learning_rate": (0.001 * decay).round(7).tolist(),
            "kept_step": 840,
        },
        "evaluation": {"validation": part, "test": part},
        "slices": {"test": _slices()},
        "fairness": {
            "test": {
                "gender": [
                    {"value": v, "rows": 100 + i, "selection_rate": 0.25 + i / 8, "tpr": 0.75}
                    for i, v in enumerate(("f", "m", EVIL))
                ]
            }
        },
        "importance": [
            {"column": c, "mean": 4.5 / (i + 1), "sd": 0.0625, "metric": monitor}
            for i, c in enumerate(("distance", "hour", "a_very_long_name_of_a_column_indeed", EVIL))
        ],
        "partial_dependence": {
            "distance": {
                "values": [0.5, 1.0, 2.0, 4.0],
                "prediction": [4.5, 6.25, 9.5, 15.75],
                "low": [4.0, 6.0, 9.0, 15.0],
                "high": [5.0, 7.0, 10.0, 17.0],
            },
            "color": {"values": ["red", "green", EVIL], "prediction": [1.5, 2.5, 3.5]},
        },
        "wide_weights": {
            "positive": [
                {"feature": "zone", "value": f"z{i}", "weight": 2.0 - i / 8, "rows": 50 + i}
                for i in range(8)
            ],
            "negative": [
                {"feature": "zone_x_hour", "value": EVIL, "weight": -1.375, "rows": 17},
            ],
        },
        "embedding_map": {
            "zone": {
                "names": [f"z{i}" for i in range(30)] + [EVIL],
                "x": np.cos(np.arange(31)).round(4).tolist(),
                "y": np.sin(np.arange(31) * 1.3).round(4).tolist(),
                "rows": list(range(10, 41)),
                "neighbors": {"z1": [{"name": "z2", "similarity": 0.97}]},
            }
        },
        "data_profile": {
            "columns": [
                {
                    "column": name,
                    "kind": "categorical",
                    "train": {"missing": 0.0125, "distinct": 31},
                    "test": {"missing": 0.0375, "distinct": 29},
                    "drift": {"test": {"js": 0.0123, "linf": 0.045}},
                    "unseen": {"test": 0.0021},
                    "leak": None,
                }
                for name in ("zone", EVIL)
            ],
            "warnings": [f"{EVIL} has drifted"],
        },
        "health": {
            "layers": [
                {
                    "name": f"h{i}",
                    "dead": [0.0, 0.125, 0.25],
                    "weight_norm": [5.5, 6.5, 7.5 + i],
                    "gradient_norm": [1.0, 0.1, 0.01],
                }
                for i in (1, 2)
            ],
            "steps": [40, 80, 120],
            "input_bound": 0.0625,
        },
        "doctor": [
            {
                "illness": "overfitting",
                "severity": "alarm",
                "evidence": f"val {EVIL}",
                "advice": "raise model.dropout",
            },
            {"illness": "x", "severity": "info", "evidence": "y", "advice": "z"},
        ],
    }


def _slices():
    return [
        {
            "column": "zone",
            "value": EVIL if i == 1 else f"z{i}",
            "rows": 321 - i,
            "share": 0.0625,
            "bias": 0.5 - i / 8,
            "bias_low": 0.25 - i / 8,
            "bias_high": 0.75 - i / 8,
            "metric": "rmse",
            "value_of_metric": 1.5,
        }
        for i in range(30)
    ]


def _regression():
    counts = np.random.default_rng(0).integers(0, 50, (40, 40))
    edges = np.linspace(0, 60, 41).tolist()
    return {
        "scatter": {"prediction_edges": edges, "label_edges": edges, "counts": counts.tolist()},
        "residuals_by_decile": [
            {
                "low": 5.0 * i,
                "high": 5.0 * i + 5,
                "rows": 150,
                "mean_prediction": 5.0 * i + 2.5,
                "bias": 0.1 * (i % 3 - 1),
                "bias_low": 0.1 * (i % 3 - 1) - 0.05,
                "bias_high": 0.1 * (i % 3 - 1) + 0.05,
                "p05": -1.5,
                "p95": 1.75,
            }
            for i in range(10)
        ],
    }


def _binary():
    rates = np.linspace(0, 1, 50)
    return {
        "roc": {"fpr": rates.tolist(), "tpr": np.sqrt(rates).tolist(), "threshold": [0.5] * 50},
        "pr": {"recall": rates.tolist(), "precision": (1 - rates / 2).tolist(), "threshold": []},
        "operating_point": {"threshold": 0.375, "chosen_by": "f1"},
        "confusion": {"tp": 301, "fp": 102, "tn": 903, "fn": 194},
        "calibration": [
            {
                "low": p - 0.05,
                "high": p + 0.05,
                "rows": 100,
                "mean_probability": p,
                "share": p * 0.9,
                "share_low": p * 0.8,
                "share_high": p * 0.9 + 0.03,
            }
            for p in (0.02, 0.1, 0.3, 0.6, 0.9)
        ],
        "ece": 0.0213,
        "score_histogram": {
            "edges": np.linspace(0, 1, 21).tolist(),
            "negatives": list(range(400, 0, -20)),
            "positives": list(range(1, 21)),
        },
        "thresholds": [
            {"threshold": t, "precision": 0.5 + t / 4, "recall": 1 - t, "selected": 0.3, "cost": 7}
            for t in (0.125, 0.25, 0.5)
        ],
    }


def _classes():
    names = ["red", "green", EVIL]
    by_class = {name: {"auc": 0.75 + i / 16, "rows": 500 + i} for i, name in enumerate(names)}
    counts = [[400, 50, 20], [31, 300, 17], [11, 13, 200]]
    return {"classes": names, "confusion": counts, "by_class": by_class}
