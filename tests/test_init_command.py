"""trainer.init.init_command: options, files and refusals."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted_tables import shop, write_csv

from trainer import storage
from trainer.config import parse_config
from trainer.errors import UserError
from trainer.init.init_command import main, output_stem
from trainer.yaml_text import load_yaml


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config_of(path):
    return parse_config(load_yaml(path.read_text(), str(path)), str(path))


def test_config_and_study_lie_beside_each_other_and_the_account_is_printed(in_folder, capsys):
    for part in range(2):
        write_csv(in_folder / f"shop-{part}.csv", shop(300, seed=part))
    main(["--csv=shop-*.csv", "--target=spent"])
    config = config_of(in_folder / "shop.yaml")
    assert config.data.train == ("shop-*.csv",)
    assert "shop.yaml" in (in_folder / "shop.tuning.yaml").read_text()
    out = capsys.readouterr().out
    assert out.startswith("looked at all 600 rows of 2 files\n")
    assert out.endswith("next: python -m trainer.task --config=shop.yaml\n")


def test_options_reach_the_config(in_folder):
    columns = shop(300)
    write_csv(in_folder / "a.txt", columns, header=False, delimiter=";")
    names = ",".join(f"f{i}" for i in range(len(columns)))
    argv = ["--csv=a.txt", "--target=8", f"--column_names={names}", "--output=out/x.yml"]
    main([*argv, "--positive=yes", "--validation=a.txt", "--test", "a.txt"])
    config = config_of(in_folder / "out" / "x.yml")
    assert config.data.column_names == tuple(names.split(","))
    assert config.data.delimiter == ";"
    assert config.data.validation == config.data.test == ("a.txt",)
    assert config.label.model_dump(exclude_defaults=True) == {
        "column": "f7",
        "task": "binary",
        "positive": "yes",
    }
    assert (in_folder / "out" / "x.tuning.yaml").exists()


def test_no_header_numbers_the_columns(in_folder):
    write_csv(in_folder / "a.csv", shop(300), header=False)
    main(["--csv=a.csv", "--target=c11"])
    config = config_of(in_folder / "a.yaml")
    assert config.data.column_names[:2] == ("c1", "c2") and config.label.column == "c11"


def test_packed_files_and_parquet_give_the_same_kinds(in_folder):
    columns = shop(300)
    columns["age"] = [age.replace("?", "") for age in columns["age"]]
    path = write_csv(in_folder / "a.csv", columns)
    (in_folder / "b.csv.gz").write_bytes(gzip.compress((in_folder / "a.csv").read_bytes()))
    table = pa.table({n: pa.array(list(v)) for n, v in columns.items()})
    pq.write_table(table, in_folder / "c.parquet")
    main([f"--csv={path}", "--target=spent", "--output=a.yaml"])
    main(["--csv=b.csv.gz", "--target=spent"])
    main(["--parquet=c.parquet", "--target=spent"])
    configs = [config_of(in_folder / f"{name}.yaml") for name in "abc"]
    assert configs[1].columns == configs[0].columns
    kinds = [{n: c.kind for n, c in config.columns.items()} for config in configs]
    assert kinds[2] == kinds[0] | {"age": kinds[2]["age"]}
    assert configs[2].data.format == "parquet"


def test_outputs_are_not_overwritten_unless_forced(in_folder):
    write_csv(in_folder / "shop.csv", shop(300))
    (in_folder / "shop.tuning.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"shop.tuning.yaml exists already; give --force"):
        main(["--csv=shop.csv", "--target=spent"])
    assert not (in_folder / "shop.yaml").exists()
    main(["--csv=shop.csv", "--target=spent", "--force"])
    assert (in_folder / "shop.tuning.yaml").read_text() != "mine"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--target=y"], "give --csv or --parquet, one of them"),
        (["--csv=a", "--parquet=b", "--target=y"], "give --csv or --parquet, one of them"),
        (["--csv=,", "--target=y"], "--csv names no file"),
        (["--csv=a.csv"], "--target; python -m trainer.init --help lists the options"),
        (["--csv=a.csv", "--target=y", "--tsak=binary"], "unrecognized arguments: --tsak=binary"),
        (["--csv=a.csv", "--target=y", "--delimiter=ab"], "must be one character; received 'ab'"),
        (["--csv=a.csv", "--target=y", "--sample_rows=0.5"], "must be a whole number"),
        (["--csv=a.csv", "--target=y", "--sample_rows=x"], "sample_rows: invalid"),
        (["--csv=a.csv", "--target=y", "--header=yes", "--column_names=a"], "without a header"),
        (["--csv=none.csv", "--target=y"], "no file matches none.csv"),
    ],
)
def test_wrong_options_are_refused(argv, message):
    with pytest.raises(UserError, match=message):
        main(argv)


def test_files_and_outputs_may_be_in_a_bucket(in_folder, emulator, capsys):
    write_csv(in_folder / "shop.csv", shop(300))
    storage.write_bytes(f"{emulator}/shop-1.csv", (in_folder / "shop.csv").read_bytes())
    packed = gzip.compress((in_folder / "shop.csv").read_bytes())
    storage.write_bytes(f"{emulator}/shop-2.csv.gz", packed)
    main([f"--csv={emulator}/shop-*", "--target=spent", f"--output={emulator}/out/shop.yaml"])
    assert capsys.readouterr().out.startswith("looked at all 600 rows of 2 files\n")
    text = storage.read_text(f"{emulator}/out/shop.yaml")
    assert load_yaml(text, "shop")["data"]["train"] == f"{emulator}/shop-*"
    assert f"--config={emulator}/out/shop.yaml" in storage.read_text(
        f"{emulator}/out/shop.tuning.yaml"
    )


def test_files_to_hold_out_must_be_there(in_folder):
    write_csv(in_folder / "a.csv", shop(300))
    for part in ("validation", "test"):
        with pytest.raises(UserError, match=r"no file matches none.csv"):
            main(["--csv=a.csv", "--target=spent", f"--{part}=none.csv"])


def test_a_table_of_a_few_rows_is_refused(in_folder):
    write_csv(in_folder / "a.csv", shop(49))
    with pytest.raises(UserError, match="has 49 rows; 50 or more are needed"):
        main(["--csv=a.csv", "--target=spent"])


@pytest.mark.parametrize(
    ("pattern", "stem"),
    [("gs://b/x/part-*-of-9.csv", "part"), ("*.csv", "table"), ("d.v2.parquet", "d.v2")],
)
def test_output_is_named_after_the_files(pattern, stem):
    assert output_stem(pattern) == stem
