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


def test_every_line_is_that_of_the_text():
    text = "\n".join(f"k{i}:\n- a: {i}" for i in range(50))

    lines = key_lines(text)

    for path, line in lines.items():
        if len(path) == 1:
            assert text.splitlines()[line - 1] == f"{path[0]}:"
        if len(path) == 3:
            assert text.splitlines()[line - 1] == f"- a: {path[0][1:]}"
