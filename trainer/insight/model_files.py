"""What is kept beside an exported model for those who watch and explain it.

    id_counts.json                 rows by value of the columns that statistics.json does not count
    instance_schema.yaml           of an instance, as OpenAPI (analysis_instance_schema_uri of v1)
    model_monitoring_schema.json   ModelMonitoringSchema of Vertex AI Model Monitoring v2
    model_monitoring_drift.json    its DataDriftSpec: measures and thresholds
    explanation_metadata.json      ExplanationMetadata of Model.upload
    explanation_parameters.json    ExplanationParameters of it: sampled Shapley

JSON as the API of Vertex AI reads it. Source: google.cloud.aiplatform v1 (explanation,
model_deployment_monitoring_job) and v1beta1 (model_monitor, model_monitoring_spec).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trainer.answers import Served
from trainer.column_base import RawColumn
from trainer.config import Config
from trainer.datasets import Datasets
from trainer.insight.column_shifts import MISSING
from trainer.insight.data_profile import DRIFT_THRESHOLD
from trainer.insight.id_counts import REST, NamedCounts, uncounted_ids
from trainer.quantiles import interpolate
from trainer.schema import Schema
from trainer.serving import ServingInputs, signature_names
from trainer.statistics import TableStatistics

# Orders of the inputs that are sampled for an explanation; Vertex AI allows 1 to 50.
_PATHS = 10
_TYPES = {"float": "float", "int": "integer", "string": "categorical"}


def model_files(config: Config, datasets: Datasets) -> dict[str, str]:
    """The files by name."""
    ids = uncounted_ids(config, datasets.encoder, datasets.stores["train"])
    served = Served(
        ServingInputs({}, {}, None),
        config.label,
        thresholds=(),
        classes=tuple(name for name, _ in datasets.statistics.classes),
    )
    inputs = config.feature_inputs
    values = {
        "id_counts.json": ids,
        "instance_schema.yaml": instance_schema(inputs),
        "model_monitoring_schema.json": monitoring_schema(inputs, served.score),
        "model_monitoring_drift.json": drift_spec(),
        "explanation_metadata.json": explanation_metadata(
            config, datasets.statistics, ids, served.score
        ),
        "explanation_parameters.json": {"sampledShapleyAttribution": {"pathCount": _PATHS}},
    }
    # JSON is YAML too.
    return {name: json.dumps(value, indent=1) + "\n" for name, value in values.items()}


def input_names(inputs: Sequence[RawColumn]) -> dict[str, str]:
    """Names of the signature by raw column."""
    return signature_names(raw.name for raw in inputs)


def instance_schema(inputs: Sequence[RawColumn]) -> dict[str, Any]:
    """OpenAPI 3 schema of one instance of a request."""
    names = input_names(inputs)
    kinds = {"float": "number", "int": "integer", "string": "string"}
    properties: dict[str, Any] = {}
    for raw in inputs:
        if raw.dtype == "vector":
            properties[names[raw.name]] = {"type": "array", "items": {"type": "number"}}
        else:
            properties[names[raw.name]] = {"type": kinds[raw.dtype]}
    return {"type": "object", "properties": properties, "required": list(properties)}


def monitoring_schema(inputs: Sequence[RawColumn], score: str) -> dict[str, Any]:
    """ModelMonitoringSchema: what is watched."""
    names = input_names(inputs)
    fields = [
        {
            "name": names[raw.name],
            "dataType": _TYPES.get(raw.dtype, "float"),
            "repeated": raw.dtype == "vector",
        }
        for raw in inputs
    ]
    return {
        "featureFields": fields,
        "predictionFields": [{"name": score, "dataType": "float", "repeated": score[-1] == "s"}],
    }


def drift_spec() -> dict[str, Any]:
    """ModelMonitoringObjectiveSpec.DataDriftSpec with the measures of scripts/drift.py."""
    return {
        "categoricalMetricType": "l_infinity",
        "numericMetricType": "jensen_shannon_divergence",
        "defaultCategoricalAlertCondition": {"threshold": DRIFT_THRESHOLD},
        "defaultNumericAlertCondition": {"threshold": DRIFT_THRESHOLD},
    }


def explanation_metadata(
    schema: Schema, statistics: TableStatistics, ids: NamedCounts, score: str
) -> dict[str, Any]:
    """ExplanationMetadata: inputs by the names of the signature, with the row they are compared to.

    That row has the median of each number and the most frequent value of each text and id, by the
    training rows. Of a time, whose texts are not counted, it is missing.
    """
    names = input_names(schema.feature_inputs)
    inputs = {
        names[raw.name]: {
            "inputTensorName": names[raw.name],
            "modality": "numeric" if raw.dtype in ("float", "vector") else "categorical",
            "inputBaselines": [_baseline(raw, statistics, ids)],
        }
        for raw in schema.feature_inputs
    }
    return {"inputs": inputs, "outputs": {score: {"outputTensorName": score}}}


def _baseline(raw: RawColumn, statistics: TableStatistics, ids: NamedCounts) -> Any:
    if raw.dtype == "vector":
        return [_median(statistics, f"{raw.name}.{i}") for i in range(raw.size)]
    if raw.dtype == "float":
        return _median(statistics, raw.name)
    counted = statistics.tokens.get(raw.name, ()) or tuple(ids.get(raw.name, {}).items())
    # In brackets stands what is no value.
    values = [name for name, _ in counted if name not in (MISSING, REST) and name[:1] != "("]
    if raw.dtype == "int":
        return int(values[0]) if values else 0
    return values[0] if values else ""


def _median(statistics: TableStatistics, name: str) -> float:
    quantiles = statistics.numbers[name].quantiles
    return float(interpolate(quantiles, 2)[0]) if quantiles else 0.0
