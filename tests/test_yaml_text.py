import pytest
import yaml

from trainer.errors import UserError
from trainer.yaml_text import dump_yaml, load_yaml

# Texts that YAML 1.1, YAML 1.2 or both would read as something else when left unquoted.
TREACHEROUS = [
    *("y", "no", "on", "true", "null", "~", "", "1e4", "1.0e+5", "02134", "0x1f", "0o7", "1_000"),
    *("2020-01-01", "1:30", "=", "<<", "-", "a: b", "#x", " lead", "trail ", "'", '"', "é", "e5"),
]


def test_scalars_are_those_of_yaml_1_2():
    text = """
    y: no
    zip: [02134, 0x1F, 1_000]
    numbers: [1e-4, 1.5, .5, 12, -3, 0, 2E3, .inf]
    times: [2020-01-01, 12:30:45]
    nothing: [~, null, ]
    truth: [true, False]
    """
    assert load_yaml(text, "x.yaml") == {
        "y": "no",
        "zip": ["02134", "0x1F", "1_000"],
        "numbers": [0.0001, 1.5, 0.5, 12, -3, 0, 2000.0, float("inf")],
        "times": ["2020-01-01", "12:30:45"],
        "nothing": [None, None],
        "truth": [True, False],
    }


def test_numbers_keep_their_type():
    values = load_yaml("a: 64\nb: 64.0", "x.yaml")
    assert (type(values["a"]), type(values["b"])) == (int, float)


def test_anchors_and_merges_work():
    text = "base: &base {k: 1, l: 2}\nown: {<<: *base, k: 3}"
    assert load_yaml(text, "x.yaml")["own"] == {"k": 3, "l": 2}


def test_tag_that_fits_is_taken():
    text = "a: [!!int 3, !!float 1.5, !!str 7, !!bool true, !!null ~, !!seq [1], !!map {b: 1}]"
    assert load_yaml(text, "x.yaml") == {"a": [3, 1.5, "7", True, None, [1], {"b": 1}]}


@pytest.mark.parametrize("one_more", ["[{}]", "{{<<: [{}]}}"], ids=["lists", "merged mappings"])
def test_aliases_of_aliases_are_refused_before_they_are_written_out(one_more):
    lines = ["v0: &v0 {x: 1}"]
    for i in range(1, 12):
        inner = one_more.format(",".join([f"*v{i - 1}"] * 10))
        lines.append(f"v{i}: &v{i} {inner}")
    with pytest.raises(UserError, match=r"^x.yaml:\d+: more than 100000 entries, aliases written"):
        load_yaml("\n".join(lines), "x.yaml")


@pytest.mark.parametrize("read", [lambda text: load_yaml(text, "x.yaml"), yaml.safe_load])
def test_dumped_values_read_back_under_both_yaml_versions(read):
    values = {
        "texts": TREACHEROUS,
        "numbers": [0, -7, 0.1, 1e-5, 1e22, float("inf"), True, False],
        "nested": [{"columns": ["a", "b"], "bins": 3}],
        "empty": {"list": [], "mapping": {}},
        **{f"{text}:": text for text in TREACHEROUS},
    }
    assert read(dump_yaml(values)) == values


def test_list_of_scalars_is_dumped_on_one_line_and_order_is_kept():
    assert dump_yaml({"b": {"hidden_units": [64, 32]}, "a": 1}) == (
        "b:\n  hidden_units: [64, 32]\na: 1\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\t- 1", r"^x\.yaml:2: found character '\\t'.*; indent with spaces$"),
        ("a: 1\nb: 2\na: 3", r"^x\.yaml:3: the key 'a' stands twice, first in line 1$"),
        ("t:\n  a: 1\n  a: 1", r"^x\.yaml:3: the key 'a' stands twice, first in line 2$"),
        ("a: {b: 1, b: 2}", r"^x\.yaml:1: the key 'b' stands twice"),
        ("", r"^x\.yaml is empty; expected at least columns and label$"),
        ("# all\n# commented out", r"^x\.yaml is empty"),
        ("- 1", r"^x\.yaml must be a mapping with .*; received a list$"),
        ("columns", r"^x\.yaml must be a mapping with .*; received a str$"),
        ("a: [1", r"^x\.yaml:1: expected ',' or ']', but got '<stream end>'$"),
        ("a: b: c", r"^x\.yaml:1: mapping values are not allowed here$"),
        ("a: *x", r"^x\.yaml:1: found undefined alias 'x'$"),
        ("? [1]\n: 2", r"^x\.yaml:1: found unhashable key$"),
        ("a: 1\n---\nb: 2", r"^x\.yaml:2: but found another document$"),
        ("a: \x00", r"^x\.yaml: not valid YAML: unacceptable character"),
        ("a: !!python/name:os.system x", r"^x\.yaml:1: could not determine a constructor"),
        ("a: !!set {b}", r"^x\.yaml:1: could not determine a constructor"),
        ("\na: !!timestamp today", r"^x\.yaml:2: could not determine a constructor"),
        ("a: !!bool maybe", r"^x\.yaml:1: the tag !!bool does not fit its value$"),
        ("a: !!int ''", r"^x\.yaml:1: the tag !!int does not fit its value$"),
        ("a: !!map [1]", r"^x\.yaml:1: the tag !!map does not fit its value$"),
        ("a: !!seq {b: 1}", r"^x\.yaml:1: the tag !!seq does not fit its value$"),
        ("a: !!str [1]", r"^x\.yaml:1: the tag !!str does not fit its value$"),
        ("a: &a [1, *a]", r"^x\.yaml:1: an anchor contains itself$"),
        ("a: &a {b: {<<: *a}}", r"^x\.yaml:1: an anchor contains itself$"),
        (f"a:\n  b: {'9' * 301}", r"^x\.yaml:2: a number of 301 digits$"),
        (f"a: {'[' * 41}", r"^x\.yaml"),
        (
            f"a: {'[' * 41}{']' * 41}",
            r"^x\.yaml:1: nested deeper than 40 levels; a config has five$",
        ),
        (f"a: {'[' * 5000}", r"^x\.yaml: nested deeper than 40 levels; a config has five$"),
        ("#" * 4_000_001, r"^x\.yaml has 4000001 characters; is it a config, or a data file\?$"),
    ],
)
def test_malformed_yaml_is_one_line_with_its_place(text, message):
    with pytest.raises(UserError, match=message) as caught:
        load_yaml(text, "x.yaml")
    assert "\n" not in str(caught.value)
