#!/usr/bin/env python3
"""Values whose embeddings lie nearest to that of one value, by their cosine.

    python scripts/neighbors.py --model=runs/taxifare_sample --column=pickup_datetime.hour --value=8

The model is a run's folder or its exported model, local or gs://.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from trainer.insight.learned_weights import find_neighbors
from trainer.outcome import exit_code_of


def main(argv: list[str]) -> None:
    """Print a line for each neighbor.

    Raises:
        UserError: there is no such model, column or value.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of a run or an exported model")
    parser.add_argument("--column", required=True, help="a column with an embedding")
    parser.add_argument("--value", required=True, help="one of its values")
    parser.add_argument("--count", type=int, default=10, help="neighbors that are shown")
    options = parser.parse_args(argv)
    found = find_neighbors(options.model, options.column, options.value, options.count)
    for name, similarity in found:
        print(f"{similarity:6.3f}  {name}")


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
