"""The sections of a run's config and their rules; no TensorFlow.

Each field states its meaning, unit and range once: the YAML reader, the flags (`cli.py`) and the
help text are made from it. Field names are unique across sections, so a flag needs no prefix.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainer.config_errors import describe_findings
from trainer.errors import UserError, quoted
from trainer.fields import Auto, Float, Int, IntList, TextList, unusable_texts
from trainer.schema import Schema

Positive = Annotated[Int, Field(ge=1)]
NotNegative = Annotated[Int, Field(ge=0)]
Rate = Annotated[Float, Field(gt=0)]
Penalty = Annotated[Float, Field(ge=0)]
Fraction = Annotated[Float, Field(ge=0, lt=1)]
# A layer of more is a mistake in the unit: two of them have 4 billion weights.
MOST_UNITS = 65_536
OptimizerName = Literal["ftrl", "adam", "adamw", "adagrad", "sgd"]
Activation = Literal[
    "relu", "leaky_relu", "elu", "gelu", "selu", "silu", "softplus", "tanh", "sigmoid"
]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Section):
    """Where the rows are and how they are read."""

    train: TextList = Field(
        ("sample:train",),
        description="Files of the training rows: paths or glob patterns, local, gs:// or /gcs/. "
        "sample:train, sample:valid and sample:test are the embedded taxi rides.",
    )
    validation: TextList = Field((), description="Files of the validation rows; or use split.")
    test: TextList = Field((), description="Files scored once, after training; or use split.")
    format: Literal["auto", "csv", "parquet"] = Field(
        "auto", description="auto: by suffix, .parquet or else CSV (.gz is unpacked)."
    )
    column_names: TextList | None = Field(
        None, description="Columns of a CSV without a header, in order; not given: a header line."
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        ",", description="CSV only."
    )
    null_values: TextList = Field(
        ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"),
        description="Texts that stand for a missing value.",
    )
    split_column: str | None = Field(
        None,
        description="Raw string column whose FARM_FINGERPRINT splits the rows, as in BigQuery; not "
        "given: the row number does.",
    )
    validation_fraction: Fraction = Field(
        0.0, description="Share of the train rows held out for validation."
    )
    test_fraction: Fraction = Field(
        0.0, description="Share of the train rows held out for the test."
    )
    split_modulus: Annotated[Int, Field(ge=2, le=1_000_000)] = Field(
        100,
        description="Buckets of the split: MOD(ABS(FARM_FINGERPRINT(split_column)), "
        "split_modulus); training takes the first, validation the next, test the last.",
    )
    max_bad_rows: NotNegative = Field(
        0,
        description="Rows that may be unreadable before the run stops; they are never trained on.",
    )
    limit_rows: NotNegative = Field(0, description="Use only the first rows of each set; 0: all.")
    storage: Literal["auto", "memory", "disk", "stream"] = Field(
        "auto",
        description="Where encoded rows stay between epochs: memory, files in a scratch folder, or "
        "nowhere (read again each epoch). auto: the first that fits.",
    )
    memory_budget_mb: Positive = Field(
        1024, description="Megabytes that the encoded rows and the shuffle window may take."
    )
    disk_budget_mb: Positive = Field(
        50_000, description="Megabytes of scratch files before storage: auto streams."
    )
    scratch_dir: str | None = Field(
        None,
        description="Local folder for scratch files; the system's temporary one when not given.",
    )
    cache_dir: str | None = Field(
        None,
        description="Folder, local, gs:// or /gcs/, where encoded rows and statistics stay for "
        "other runs on the same data and columns, as the trials of a study; without effect where "
        "rows are streamed.",
    )
    shuffle_rows: Positive = Field(
        262_144,
        description="Rows permuted together; blocks of rows are permuted per epoch besides.",
    )
    statistics_path: str | None = Field(
        None,
        description="statistics.json of an earlier run to use instead of a pass over the data.",
    )

    @model_validator(mode="after")
    def _check_rows(self) -> DataConfig:
        if not self.train:
            raise ValueError("data.train names no file")
        for part in ("validation", "test"):
            if getattr(self, part) and getattr(self, f"{part}_fraction"):
                raise ValueError(f"give data.{part} or data.{part}_fraction, not both")
            fraction = getattr(self, f"{part}_fraction")
            if fraction and not round(fraction * self.split_modulus):
                raise ValueError(
                    f"data.{part}_fraction {fraction:g} of {self.split_modulus} buckets is none; "
                    "raise data.split_modulus"
                )
        if not self.delimiter.isascii() or self.delimiter in '"\r\n\0':
            raise ValueError(
                "data.delimiter must be one ASCII character, no quote and no line break; received "
                f"{self.delimiter!r}"
            )
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("data.validation_fraction + data.test_fraction must stay below 1")
        return self


class ModelConfig(_Section):
    """The wide and the deep part."""

    towers: Literal["wide", "deep", "both"] = Field("both", description="Parts of the model.")
    hidden_units: Annotated[IntList, Field(max_length=64)] = Field(
        (128, 128), description="Widths of the deep layers, e.g. 128,64; up to 64 of up to 65,536."
    )
    activation: Activation = Field("relu", description="Of the deep layers.")
    dropout: Auto | Fraction = Field(
        "auto",
        description="Probability to DROP a unit of a hidden layer; auto: 0.2 for binary, 0.1 for "
        "regression.",
    )
    input_dropout: Auto | Fraction = Field(
        "auto",
        description="Probability to drop an input of the deep part; auto: 0.1 for binary, 0 for "
        "regression, whose values come from exact numbers.",
    )
    embedding_dim: Auto | Annotated[Int, Field(ge=1, le=4096)] = Field(
        8,
        description="Width of the embeddings whose column does not state one; auto: the fourth "
        "root of the number of ids.",
    )
    output_offset: Literal["mean", "none"] = Field(
        "mean", description="mean: the logit starts at the label's mean, or its log-odds."
    )
    standardize_target: bool = Field(
        True, description="Regression: learn (label - mean) / standard deviation."
    )
    loss: Literal["auto", "mse", "huber", "mae", "log_loss"] = Field(
        "auto",
        description="auto: log_loss for binary; for regression mse, or huber where the label's "
        "kurtosis exceeds 10.",
    )
    huber_delta: Rate = Field(1.0, description="In units of the (standardized) label.")

    def for_task(self, task: str) -> ModelConfig:
        """The section with numbers for a dropout that is auto.

        Measured over three seeds (November 2026): taxi fares, validation RMSE 4.19, 4.15, 4.17 at
        dropout 0, 0.1, 0.2, and test RMSE 4.43 with none, 4.51 with 0.1 on the input; late flights
        with weather, test AUC .7368 with none, .7387 with 0.1 on the input.
        """
        is_binary = task == "binary"
        auto = {"dropout": 0.2 if is_binary else 0.1, "input_dropout": 0.1 if is_binary else 0.0}
        return self.model_copy(
            update={name: rate for name, rate in auto.items() if getattr(self, name) == "auto"}
        )


class OptimizerConfig(_Section):
    """How each part learns."""

    wide_optimizer: OptimizerName = Field("ftrl", description="Optimizer of the wide part.")
    wide_learning_rate: Auto | Rate = Field(
        "auto",
        description="Of the wide part. auto: 0.001 for adam and adamw, else 0.05 over the loss's "
        "curvature (2 for mse, 1 for huber and mae, p (1 - p) for log_loss at the mean p).",
    )
    wide_l1: Penalty = Field(0.0, description="L1 penalty of the wide weights (FTRL: proximal).")
    wide_l2: Penalty = Field(0.0, description="L2 penalty of the wide weights (FTRL: proximal).")
    wide_l2_shrinkage: Penalty = Field(0.0, description="FTRL's L2 that acts on the gradient.")
    deep_optimizer: OptimizerName = Field("adamw", description="Optimizer of the deep part.")
    deep_learning_rate: Rate = Field(0.001, description="Of the deep part.")
    deep_l1: Penalty = Field(0.0, description="L1 penalty of the deep matrices.")
    deep_l2: Penalty = Field(0.0, description="L2 penalty of the deep matrices.")
    weight_decay: Penalty = Field(
        0.01, description="Decoupled decay of the deep matrices (adamw only; not embeddings)."
    )
    momentum: Fraction = Field(0.9, description="Of sgd.")
    clip_norm: Penalty = Field(0.0, description="Bound of the global gradient norm; 0: none.")
    schedule: Literal["constant", "cosine", "exponential"] = Field(
        "constant", description="Course of both learning rates after the warm-up."
    )
    warmup_steps: NotNegative = Field(0, description="Steps of linear warm-up from 0.")
    decay_steps: NotNegative = Field(
        0, description="cosine: steps to 0; exponential: steps per decay_rate; 0: the whole run."
    )
    decay_rate: Annotated[Float, Field(gt=0, le=1)] = Field(
        0.1, description="exponential: the factor per decay_steps."
    )
    ema_decay: Fraction = Field(
        0.99,
        description="Exponential moving average of the weights, evaluated and exported, with "
        "warm-up min(ema_decay, (1 + step) / (10 + step)); 0: none. Tables too large for dense "
        "updates are used as they are.",
    )


class TrainingConfig(_Section):
    """The budget, the evaluations and the checkpoints."""

    batch_size: Auto | Positive = Field(
        "auto",
        description="Rows per step over all devices; auto: 2^floor(log2(rows / 28)) within "
        "32..1024.",
    )
    epochs: Annotated[Float, Field(gt=0, le=1e9)] | None = Field(
        None, description="Budget in passes over the training rows. 40 if no budget is given."
    )
    steps: Positive | None = Field(None, description="Budget in steps.")
    num_train_examples: Positive | None = Field(None, description="Budget in examples.")
    seconds: Annotated[Float, Field(gt=0)] | None = Field(
        None, description="Budget in seconds of training (not reproducible)."
    )
    num_evals: NotNegative = Field(
        0, description="Evaluations spread evenly over the budget (virtual epochs); 0: eval_steps."
    )
    eval_steps: Auto | Positive = Field(
        "auto",
        description="Steps between evaluations; auto: one epoch, at most 64 steps from 20,000 rows "
        "on, more where validation has more rows than that.",
    )
    patience: NotNegative = Field(
        8, description="Evaluations without a better one before training stops; 0: never."
    )
    min_delta: Penalty = Field(0.0, description="Smallest change that counts as better.")
    monitor: str = Field(
        "auto", description="Metric that chooses the weights; auto: rmse or log_loss."
    )
    keep_weights: Literal["best", "last"] = Field("best", description="Weights that are exported.")
    seed: Annotated[Int, Field(ge=0, lt=2**31)] = Field(
        1, description="Seed of initial weights, shuffling and dropout."
    )
    steps_per_call: Auto | Positive = Field(
        "auto",
        description="Steps inside one call of the compiled loop; auto: 64 (TPU: 128), or 262,144 "
        "rows.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the deep part's matrix products."
    )
    xla: Auto | bool = Field(
        "auto",
        description="Compile the steps with XLA, on one device only; auto: on a CPU, where the run "
        "is planned to be long enough for that to pay.",
    )
    strategy: Literal[
        "auto", "one_device", "mirrored", "multi_worker_mirrored", "parameter_server", "tpu"
    ] = Field("auto", description="Of tf.distribute; auto: from the worker pools and devices.")
    communication: Literal["auto", "ring", "nccl"] = Field(
        "auto", description="Between the workers of multi_worker_mirrored."
    )
    peer_timeout_seconds: Auto | Positive = Field(
        "auto",
        description="Wait for processes of the cluster that do not answer; auto: 25, on Vertex AI "
        "900.",
    )
    logical_cpus: Annotated[Int, Field(ge=0, le=1024)] = Field(
        0, description="Devices to split the CPU into, to try mirrored without GPUs; 0: off."
    )
    checkpoint_steps: NotNegative = Field(
        0, description="Steps between checkpoints; 0: by time only."
    )
    checkpoint_seconds: NotNegative = Field(300, description="Seconds between checkpoints; 0: off.")
    keep_checkpoints: Positive = Field(2, description="Newest checkpoints that are kept.")
    resume: Literal["auto", "restart"] = Field(
        "auto", description="auto: go on from the newest checkpoint; restart: discard the old run."
    )

    @model_validator(mode="after")
    def _check_budget(self) -> TrainingConfig:
        budgets = ("epochs", "steps", "num_train_examples", "seconds")
        given = [name for name in budgets if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {', '.join(budgets)}; received {', '.join(given)}")
        if self.num_evals and self.eval_steps != "auto":
            raise ValueError("give num_evals or eval_steps, not both")
        if self.num_evals and self.seconds is not None:
            raise ValueError("num_evals needs a budget in steps, epochs or examples, not seconds")
        return self


class EvaluationConfig(_Section):
    """What is measured."""

    threshold: Annotated[Float, Field(gt=0, lt=1)] = Field(
        0.5, description="Probability from which a row counts as positive."
    )
    baseline: Literal["wide", "constant", "none"] = Field(
        "wide",
        description="Reference beside the model: the constant, and with wide also a wide-only "
        "model of the same columns, trained as many steps.",
    )
    eval_rows: NotNegative = Field(
        0, description="Validation rows used while training; 0: all. The final evaluation uses all."
    )


class ExportConfig(_Section):
    """The SavedModel."""

    serve_key: bool = Field(True, description="Pass the key column through serving_default.")
    parity_rows: Positive = Field(64, description="Rows of the sample request that is replayed.")
    parity_tolerance: Auto | Rate = Field(
        "auto",
        description="Largest allowed difference, relative to max(1, |prediction|); auto: 1e-5, or "
        "0.03 where training.precision is bfloat16, whose roundings depend on the batch.",
    )


class TuningConfig(_Section):
    """What a hyperparameter tuning job sees."""

    metric_tag: str = Field(
        "auto", description="metricId of the study; auto: val_ and the monitored metric."
    )


class OutputConfig(_Section):
    """Where the run goes. On Vertex the AIP_ variables fill these."""

    job_dir: str | None = Field(
        None,
        description="Folder of the run, local, gs:// or /gcs/; by default runs/<config name>.",
    )
    model_dir: str | None = Field(None, description="Of the SavedModel; <job_dir>/model.")
    checkpoint_dir: str | None = Field(None, description="<job_dir>/checkpoints.")
    log_dir: str | None = Field(None, description="Of TensorBoard; <job_dir>/logs.")


class Config(Schema):
    """A run: the schema of its table and the sections."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    export: ExportConfig = ExportConfig()
    tuning: TuningConfig = TuningConfig()
    output: OutputConfig = OutputConfig()

    @property
    def parity_tolerance(self) -> float:
        """Largest relative difference of a replayed prediction."""
        if self.export.parity_tolerance != "auto":
            return self.export.parity_tolerance
        return 0.03 if self.training.precision == "bfloat16" else 1e-5

    @model_validator(mode="after")
    def _check_texts(self) -> Config:
        """No file, column or folder can have such a name, and config.yaml could not be written."""
        for key, text in unusable_texts(self.model_dump()):
            raise ValueError(
                f"{key} must be text of valid Unicode without NUL; received {quoted(text)}"
            )
        return self

    @model_validator(mode="after")
    def _check_sections(self) -> Config:
        binary_loss = self.model.loss == "log_loss"
        if self.model.loss != "auto" and binary_loss != (self.label.task == "binary"):
            raise ValueError(
                f"model.loss {self.model.loss!r} does not fit label.task {self.label.task!r}"
            )
        if self.model.towers != "wide" and not self.model.hidden_units:
            raise ValueError("model.hidden_units is empty; use model.towers: wide for no deep part")
        if any(not 1 <= width <= MOST_UNITS for width in self.model.hidden_units):
            raise ValueError(
                f"model.hidden_units must be within 1 and {MOST_UNITS}; received "
                f"{list(self.model.hidden_units)}"
            )
        if self.optimizer.wide_optimizer != "ftrl" and self.optimizer.wide_l2_shrinkage:
            raise ValueError(
                "optimizer.wide_l2_shrinkage has an effect with wide_optimizer ftrl only"
            )
        if (
            self.training.seconds is not None
            and self.optimizer.schedule != "constant"
            and not self.optimizer.decay_steps
        ):
            raise ValueError(
                "optimizer.decay_steps must be given where training.seconds is the budget"
            )
        split = self.data.split_column
        if split is not None and not (self.data.validation_fraction or self.data.test_fraction):
            raise ValueError("data.split_column needs validation_fraction or test_fraction")
        return self


SECTIONS: dict[str, type[_Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
}


def parse_config(values: dict[str, Any], origin: str) -> Config:
    """The config that nested `values` describe.

    Args:
        values: sections as in the YAML.
        origin: where they come from, for messages, e.g. the path of the YAML.

    Raises:
        UserError: one line that names the dotted key, what is wrong and what is valid.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{origin}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """What a validation of `Config` found, in one line."""
    return describe_findings(error, Config)
