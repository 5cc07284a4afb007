#!/usr/bin/env python3
"""Give an uploaded model of Vertex AI the evaluation of its run.

    python scripts/import_evaluation.py --model=projects/P/locations/R/models/N gs://BUCKET/run

The metrics are those of report.json on the test rows. Needs google-cloud-aiplatform and
credentials; an --api_endpoint of http:// is called without, as tests do.
"""

import argparse
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from trainer import storage
from trainer.errors import UserError
from trainer.insight.experiments import model_evaluation


def import_evaluation(model: str, run: str, api_endpoint: str) -> str:
    """The resource name of the evaluation that was imported."""
    match = re.fullmatch(r"projects/[^/]+/locations/([^/]+)/models/[^/]+", model)
    if match is None:
        raise UserError(
            f"--model must be projects/PROJECT/locations/REGION/models/NUMBER; received {model!r}"
        )
    evaluation = model_evaluation(json.loads(storage.read_text(storage.join(run, "report.json"))))
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1
    from google.protobuf import json_format

    client = aiplatform_v1.ModelServiceClient(
        credentials=AnonymousCredentials() if api_endpoint.startswith("http://") else None,
        transport="rest",
        client_options={"api_endpoint": api_endpoint or f"{match[1]}-aiplatform.googleapis.com"},
    )
    message = json_format.ParseDict(evaluation, aiplatform_v1.ModelEvaluation.pb()())
    wrapped = aiplatform_v1.ModelEvaluation.wrap(message)
    return client.import_model_evaluation(parent=model, model_evaluation=wrapped).name


def main(argv: list[str]) -> int:
    """Print the name of the evaluation; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="folder of a complete run, local or gs://")
    parser.add_argument("--model", required=True, help="resource name of the uploaded model")
    parser.add_argument("--api_endpoint", default="", help="where it is not the public one")
    options = parser.parse_args(argv)
    try:
        print(import_evaluation(options.model, options.run, options.api_endpoint))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
