"""Put runs side by side: one table, and one page with the curves of all of them.

    python scripts/compare_runs.py runs/a runs/b
    python scripts/compare_runs.py runs/a gs://BUCKET/runs/b --out=comparison.html

Shows the settings that differ, metrics by part, steps and seconds; --help lists the options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.insight import run_comparison
from trainer.outcome import exit_code_of

if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: run_comparison.main(sys.argv[1:])))
