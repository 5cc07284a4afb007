import pytest
import yaml

from trainer.errors import UserError
from trainer.jobs.job_yaml import key_lines, load_job_yaml


def test_merge_keys_and_anchors_are_followed():
    text = "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: *x"

    assert load_job_yaml(text, "f")["d"] == {"b": 1, "c": 3}
    assert load_job_yaml(text, "f")["e"] == {"b": 1, "c": 2}


def test_texts_that_resemble_booleans_and_numbers_stay_texts():
    text = "{a: yes!, b: nn, c: 1e, d: e4, e: 1.2.3, f: 'n'}"

    assert load_job_yaml(text, "f") == yaml.load(text, yaml.BaseLoader)


def test_shared_anchor_is_no_cycle():
    assert load_job_yaml("a: &x [1]\nb: [*x, *x]", "f")["b"] == [[1], [1]]


def test_self_containing_anchor_is_refused():
    with pytest.raises(UserError, match="f:2: an anchor contains itself"):
        load_job_yaml("a: 1\nb: &x {c: [*x]}", "f")


def test_aliases_of_aliases_are_refused_before_they_are_written_out():
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]

    with pytest.raises(UserError, match=r"f:\d: with its aliases written out it has more than 10"):
        load_job_yaml("\n".join(["a0: &a0 [1, 2]", *levels]), "f")


@pytest.mark.parametrize("text", ["a: " + "[" * 20_000, "a: " + "{b: " * 3000 + "1" + "}" * 3000])
def test_deep_nesting_is_refused(text):
    with pytest.raises(UserError, match="f is nested too deeply for a job file"):
        load_job_yaml(text, "f")


@pytest.mark.parametrize(
    "value", ["!!int ''", "!!timestamp x", "!!set [1]", "!!float abc", "!!map 3"]
)
def test_tag_that_does_not_fit_its_value_is_refused(value):
    with pytest.raises(
        UserError, match=r"f:2: tag:yaml.org,2002:\w+ does not fit its value; leave"
    ):
        load_job_yaml(f"a: 1\nb: {value}", "f")


def test_tag_that_fits_its_value_says_nothing_new():
    text = "{a: !!int 5, b: !!str 5, c: !!seq [1], d: !!map {x: 1}, e: !!bool yes, f: !!null ''}"

    expected = {"a": 5, "b": "5", "c": [1], "d": {"x": 1}, "e": True, "f": None}
    assert load_job_yaml(text, "f") == expected


def test_every_line_is_that_of_the_text():
    text = "\n".join(f"k{i}:\n- a: {i}" for i in range(50))

    lines = key_lines(text)

    for path, line in lines.items():
        if len(path) == 1:
            assert text.splitlines()[line - 1] == f"{path[0]}:"
        if len(path) == 3:
            assert text.splitlines()[line - 1] == f"- a: {path[0][1:]}"
