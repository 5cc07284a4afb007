"""The section `data` of a config: where the rows are and how they are read; no TensorFlow.

The rules of `config.py` hold: a field states its meaning, unit and range once, and its name is
unique across sections.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from trainer.fields import Float, Int, TextList
from trainer.sections import Fraction, NotNegative, Positive, Section


def _tab(value: Any) -> Any:
    r"""A tab for \t, which neither a shell nor unquoted YAML makes one."""
    return "\t" if value == r"\t" else value


class DataConfig(Section):
    """Where the rows are and how they are read."""

    train: TextList = Field(
        ("sample:train",),
        description="Files of the training rows: paths or glob patterns, local, gs:// or /gcs/. "
        "sample:train, sample:valid and sample:test are the embedded taxi rides.",
    )
    validation: TextList = Field((), description="Files of the validation rows; or use split.")
    test: TextList = Field((), description="Files scored once, after training; or use split.")
    format: Literal["auto", "csv", "parquet", "tfrecord"] = Field(
        "auto",
        description="auto: by suffix, .parquet, .tfrecord (of tf.Example), or else CSV; .gz is "
        "unpacked.",
    )
    column_names: TextList | None = Field(
        None, description="Columns of a CSV without a header, in order; not given: a header line."
    )
    delimiter: Annotated[str, BeforeValidator(_tab), Field(min_length=1, max_length=1)] = Field(
        ",", description=r"CSV only, one character or \t."
    )
    decimal_point: Literal[".", ","] = Field(
        ".", description="CSV only: what stands before the decimals of a number, but in vectors."
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
    folds: Annotated[Int, Field(ge=0, le=1000)] = Field(
        0,
        description="Trainings on as many folds of the train rows, each validated on its own fold; "
        "0: one training, without folds.",
    )
    fold: Annotated[Int, Field(ge=0, le=1000)] = Field(
        0, description="The only one of the folds to hold out, from 1; 0: each in turn."
    )
    negative_keep: Annotated[Float, Field(gt=0, le=1)] = Field(
        1.0,
        description="binary: share of the training rows of label 0 that are trained on, each with "
        "1/share of its weight.",
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
        self._check_folds()
        if not self.delimiter.isascii() or self.delimiter in '"\r\n\0':
            raise ValueError(
                "data.delimiter must be one ASCII character, no quote and no line break; received "
                f"{self.delimiter!r}"
            )
        if self.delimiter == self.decimal_point:
            raise ValueError(
                f"data.delimiter and data.decimal_point are both {self.delimiter!r}; a file with "
                "decimal commas has another delimiter, mostly ;"
            )
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("data.validation_fraction + data.test_fraction must stay below 1")
        return self

    def _check_folds(self) -> None:
        if self.folds == 1 or self.folds > self.split_modulus:
            raise ValueError(
                f"data.folds must be within 2 and data.split_modulus {self.split_modulus}, or 0; "
                f"received {self.folds}"
            )
        if self.fold > self.folds:
            raise ValueError(
                f"data.fold {self.fold} is none of the {self.folds} of data.folds, which count "
                "from 1"
            )
        if self.folds and (self.validation or self.validation_fraction):
            raise ValueError(
                "data.folds holds out its own validation rows; leave out data.validation and "
                "data.validation_fraction"
            )
