"""The sections of a run's config and their rules; no TensorFlow.

Each field states its meaning, unit and range once: the YAML reader, the flags (`cli.py`) and the
help text are made from it. Field names are unique across sections, so a flag needs no prefix.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from trainer.columns import EmbeddedColumn
from trainer.config_errors import describe_findings
from trainer.data_config import DataConfig
from trainer.errors import UserError, quoted
from trainer.evaluation_config import EvaluationConfig
from trainer.fields import Auto, Float, Int, unusable_texts
from trainer.model_config import ModelConfig
from trainer.optimizer_config import OptimizerConfig
from trainer.schema import Schema
from trainer.sections import NotNegative, Penalty, Positive, Rate, Section


class TrainingConfig(Section):
    """The budget, the evaluations and the checkpoints."""

    batch_size: Auto | Positive = Field(
        "auto",
        description="Rows per step over all devices; auto: 2^floor(log2(rows / 28)) within "
        "32..1024.",
    )
    accumulate_steps: Annotated[Int, Field(ge=1, le=64)] = Field(
        1,
        description="Parts of a batch that are computed one after the other, for one update by the "
        "whole: less memory, but not where xla is true. Statistics of normalization batch are "
        "those of a part.",
    )
    epochs: Annotated[Float, Field(gt=0, le=1e9)] | None = Field(
        None, description="Budget in passes over the training rows. 40 if no budget is given."
    )
    steps: Positive | None = Field(None, description="Budget in steps.")
    num_train_examples: Positive | None = Field(None, description="Budget in examples.")
    seconds: Annotated[Float, Field(gt=0)] | None = Field(
        None, description="Budget in seconds of training (not reproducible)."
    )
    max_seconds: Annotated[Float, Field(gt=0)] | None = Field(
        None,
        description="Seconds of training after which the run ends as if its budget were spent: it "
        "saves, evaluates and exports.",
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
        "is planned to be long enough for that to pay, and accumulate_steps is 1.",
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
    profile_steps: str | None = Field(
        None,
        description="'FIRST,LAST', steps from 1: TensorFlow's profiler sees the calls of the "
        "compiled loop with these steps, for TensorBoard; a run's first call also compiles.",
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
        if self.profile_steps is not None:
            found = re.fullmatch(r"(\d{1,18}),\s*(\d{1,18})", self.profile_steps)
            if not found or not 1 <= int(found[1]) <= int(found[2]):
                raise ValueError(
                    "profile_steps must be FIRST,LAST with 1 <= FIRST <= LAST, such as 100,200; "
                    f"received {quoted(self.profile_steps)}"
                )
        if self.num_evals and self.seconds is not None:
            raise ValueError("num_evals needs a budget in steps, epochs or examples, not seconds")
        return self


class ExportConfig(Section):
    """The SavedModel."""

    serve_key: bool = Field(True, description="Pass the key column through serving_default.")
    parity_rows: Positive = Field(64, description="Rows of the sample request that is replayed.")
    parity_tolerance: Auto | Rate = Field(
        "auto",
        description="Largest allowed difference, relative to max(1, |prediction|); auto: 1e-5, or "
        "0.03 where training.precision is bfloat16, whose roundings depend on the batch.",
    )


class TuningConfig(Section):
    """What a hyperparameter tuning job sees."""

    metric_tag: str = Field(
        "auto", description="metricId of the study; auto: val_ and the monitored metric."
    )


class OutputConfig(Section):
    """Where the run goes. On Vertex the AIP_ variables fill these."""

    job_dir: str | None = Field(
        None,
        description="Folder of the run, local, gs:// or /gcs/; by default runs/<config name>.",
    )
    model_dir: str | None = Field(None, description="Of the SavedModel; <job_dir>/model.")
    checkpoint_dir: str | None = Field(None, description="<job_dir>/checkpoints.")
    log_dir: str | None = Field(None, description="Of TensorBoard; <job_dir>/logs.")
    experiment: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,127}$")] | None = Field(
        None,
        description="Experiment of Vertex AI that gets the run's parameters and metrics, of lower "
        "case letters, digits and hyphens; needs google-cloud-aiplatform.",
    )


# Context of a validation, see `parse_config`.
WRITTEN = "written"


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
    def _check_sections(self, info: ValidationInfo) -> Config:
        if info.context == WRITTEN:
            return self
        self.model.check_loss(self.label)
        self.evaluation.check(self)
        self.model.check()
        self.optimizer.check(self.model.towers)
        self._check_embeddings()
        if self.training.seconds is not None and self.optimizer.follows_the_run:
            raise ValueError(
                "optimizer.decay_steps must be given where training.seconds is the budget"
            )
        data = self.data
        if data.split_column is not None and not (
            data.validation_fraction or data.test_fraction or data.folds
        ):
            raise ValueError("data.split_column needs validation_fraction, test_fraction or folds")
        if data.negative_keep < 1 and self.label.task != "binary":
            raise ValueError(
                f"data.negative_keep is for label.task binary, which has negatives; this is "
                f"{self.label.task}"
            )
        return self

    def _check_embeddings(self) -> None:
        """Options of embeddings need a part that has some; raises ValueError."""
        if self.model.towers != "wide":
            return
        for name, column in self.of_kind(EmbeddedColumn).items():
            for option in ("shared_embedding", "init_from"):
                if getattr(column, option) is not None:
                    raise ValueError(
                        f"columns.{name}.{option} has an effect only with a deep part; "
                        "model.towers is wide"
                    )


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


def parse_config(values: dict[str, Any], origin: str, is_written: bool = False) -> Config:
    """The config that nested `values` describe.

    Args:
        values: sections as in the YAML.
        origin: where they come from, for messages, e.g. the path of the YAML.
        is_written: a run has written them, with all defaults, perhaps of an older version: what has
            no effect beside the others is no mistake.

    Raises:
        UserError: one line that names the dotted key, what is wrong and what is valid.
    """
    try:
        return Config.model_validate(values, context=WRITTEN if is_written else None)
    except ValidationError as error:
        raise UserError(f"{origin}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """What a validation of `Config` found, in one line."""
    return describe_findings(error, Config)
