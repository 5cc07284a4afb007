"""Sections: what comes after a step (evaluation, checkpoint, export), and the exported model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from benchmark_measure import Recorder, seconds_of
from benchmark_setting import Setting
from benchmark_training import Stage

REQUEST_ROWS = (1, 1000)


def measure_finish(setting: Setting, recorder: Recorder) -> None:
    """Evaluation, a checkpoint and the export of the default model; then its answers."""
    from trainer.checkpoint import CheckpointFolder
    from trainer.evaluation import evaluate
    from trainer.export import export_run

    folder = setting.scratch("finish")
    values = {**setting.default_config(), "output": {"job_dir": str(folder)}}
    stage = Stage(values, setting.pattern("rides", "csv"), 1024)
    stage.train(setting.sizes.seconds / 4)
    store = stage.datasets.stores["train"]

    def evaluation() -> int:
        evaluate(stage.program, store)
        return store.num_rows

    evaluation()  # traces
    recorder.rates("rows/s", {"finish/evaluate": evaluation})
    checkpoints, model_dir = CheckpointFolder(str(folder / "checkpoints")), str(folder / "model")
    steps = iter(range(10**6))
    recorder.alternate(
        "s",
        {
            "finish/checkpoint": seconds_of(
                lambda: checkpoints.save(next(steps), stage.program.checkpoint, {})
            ),
            "finish/export": seconds_of(
                lambda: export_run(stage.config, stage.datasets, stage.program, model_dir, {})
            ),
        },
    )
    measure_answers(setting, recorder, model_dir, stage)


def measure_answers(setting: Setting, recorder: Recorder, model_dir: str, stage: Stage) -> None:
    """Milliseconds of an answer of serving_default in this process, p50 and p99, raw rows in."""
    import tensorflow as tf

    loaded = tf.saved_model.load(model_dir)  # its variables live as long as it does
    answer = loaded.signatures["serving_default"]
    specs = answer.structured_input_signature[1]
    rows, _ = stage.datasets.parts["train"].sample(max(REQUEST_ROWS))
    for num_rows in REQUEST_ROWS:
        values = {name: [row[name] for row in rows[:num_rows]] for name in specs}

        def tensors(values: dict[str, list[Any]] = values) -> dict[str, Any]:
            return {name: tf.constant(v, specs[name].dtype) for name, v in values.items()}

        made = tensors()
        calls = {
            "": lambda made=made: answer(**made),
            ", tensors made from Python": lambda tensors=tensors: answer(**tensors()),
        }
        for what, call in calls.items():
            rounds = [
                _percentiles(call, setting.sizes.serving_calls) for _ in range(setting.sizes.rounds)
            ]
            name = f"finish/answer to {num_rows:,} rows{what}"
            for number, percent in enumerate((50, 99)):
                recorder.tell(f"{name} p{percent}", "ms", [r[number] for r in rounds])


def _percentiles(call: Any, num_calls: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds, after a tenth of the calls as warm-up."""
    milliseconds = []
    for _ in range(num_calls + num_calls // 10):
        started = time.perf_counter()
        outputs = call()
        next(iter(outputs.values())).numpy()
        milliseconds.append(1e3 * (time.perf_counter() - started))
    p50, p99 = np.percentile(milliseconds[num_calls // 10 :], (50, 99))
    return float(p50), float(p99)
