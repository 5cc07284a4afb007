"""The order of the modules, and what may stand where."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A module imports only from modules before it. Up to `statistics` nothing imports TensorFlow.
ORDER = re.findall(
    r"\w+",
    """
    __init__ errors redaction outcome quick_imports fields column_base column_ranges label
    number_columns id_columns bag_columns columns schema config_errors sections data_config
    threshold_rule evaluation_config model_config optimizer_config config yaml_text compat flags
    cluster vertex rendezvous cloud_files remote_file storage cli logs taxi_tariff sample
    memory_tables data_files parallel cells vectors value_lists csv_head csv_records csv_files
    parquet_files reader sampling quantiles tallies number_statistics statistics labels
    input_columns column_profile held_out column_power rows row_stores row_files row_cache plan
    metric_names metrics class_metrics calibration operating_point decision token_memory transforms
    vocabularies bags buckets scaling encoders number_bank number_encoders geo_encoders
    vector_encoders id_encoders bag_encoders datetime_numbers datetime_encoders column_encoders
    initial_rows features feature_names column_summaries tfrecord_files splits blocks table_plans
    trained_embeddings datasets distribution input dropout noise candidates tables lookups exchange
    schedules update_rules clipping optimizers averaging model_size class_tables activations
    normalization cross_network dense_tower piecewise_linear wide_part deep_part network losses
    number_head class_heads objective kept_weights strategy accumulation training_step program
    checkpoint evaluation baselines loop tuning observers serving answers parity replay signatures
    export run_folder run_lock report divergence id_counts column_shifts held_out_rows data_profile
    experiments drift model_files importance evidence column_insights learned_weights confidence
    binary_tables number_tables confusion_tables evaluation_tables row_groups slices fairness
    report_tables next_steps chart_style calibration_chart evaluation_charts run_charts
    embedding_charts page_sections page fold_page model_card page_files origin curves layer_probe
    health illness training_illnesses data_illnesses doctor event_files profiler verdict
    run_comparison insights sidecar trained_model model folds task example_records table_sinks
    convert

    job_fields job_yaml job_file machines findings check_spec check_pools check_tasks data_sizes
    check_data check_run check_study check_trials check_metric check fake_cloud package trials
    job_service cloud_trials job_flags job_labels job_uploads follow submit replicas replica_logs
    replica_process supervision cluster_run search_space study stopping trial_run study_store tuner
    study_page local_tuning costs estimate

    plain_table references served_scores intervals contenders comparison ablation

    csv_dialect csv_places table_sample parquet_sample date_formats target_kind table_facts
    code_columns column_kinds point_pairs cross_proposals split_choice table_study config_writer
    tuning_file account init_command __main__
    """,
)
LAST_WITHOUT_TENSORFLOW = "metrics"
# Those of trainer/jobs and trainer/init come last: training never imports them.
MODULES = sorted((ROOT / "trainer").rglob("*.py"))


def _imported(module: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "trainer":
                names |= {f"trainer.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_module_imports_only_from_modules_before_it(module):
    rank = ORDER.index(module.stem)

    ours = {name.split(".")[-1] for name in _imported(module) if name.startswith("trainer.")}

    assert {name for name in ours if name in ORDER and ORDER.index(name) >= rank} == set()


@pytest.mark.parametrize(
    "module",
    [
        m
        for m in MODULES
        if ORDER.index(m.stem) <= ORDER.index(LAST_WITHOUT_TENSORFLOW)
        or m.parent.name in ("jobs", "init")
    ],
    ids=lambda path: path.stem,
)
def test_lower_half_does_not_import_tensorflow(module):
    assert not {n for n in _imported(module) if n.split(".")[0] in ("tensorflow", "keras")}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_module_has_its_tests(module):
    if module.stem != "__init__":
        assert (ROOT / "tests" / f"test_{module.stem}.py").exists()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_only_the_entry_point_reads_the_environment(module):
    uses = [
        node
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]

    assert not uses or module.stem == "task"


def test_readme_names_only_files_that_exist():
    text = (ROOT / "README.md").read_text()

    named = set(re.findall(r"(?:scripts|configs|trainer|tests)/[\w./-]+\.(?:sh|py|ya?ml)", text))

    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_contributing_names_only_modules_that_exist():
    rows = re.findall(r"(?m)^\| (`.*?`) \|", (ROOT / "CONTRIBUTING.md").read_text())

    named = {name for row in rows for name in re.findall(r"`([\w*/]+)`", row)}

    assert len(named) > 50
    trainer = ROOT / "trainer"
    assert {n for n in named if not [*trainer.glob(f"{n}.py"), *trainer.glob(n)]} == set()
