import pytest
from pydantic import TypeAdapter, ValidationError

from trainer.fields import Float, FloatList, Int, IntList, TextList


def _parse(field, value):
    return TypeAdapter(field).validate_python(value)


@pytest.mark.parametrize("value", [64, 64.0, "64", " 64 ", "64.0", "6.4e1"])
def test_whole_numbers_are_taken_in_any_spelling(value):
    parsed = _parse(Int, value)

    assert parsed == 64
    assert type(parsed) is int


def test_large_integers_keep_every_digit():
    assert _parse(Int, str(2**53 + 1)) == 2**53 + 1


@pytest.mark.parametrize("value", [64.5, "64.5", "many", "inf", "nan", None, [1]])
def test_other_values_are_no_integer(value):
    with pytest.raises(ValidationError, match="integer"):
        _parse(Int, value)


@pytest.mark.parametrize(
    "value", [10**18 + 1, -(10**19), "1" + "0" * 400, "9" * 5000, 1e30, "1e300"]
)
def test_integers_stay_within_what_steps_and_bytes_are_counted_in(value):
    with pytest.raises(ValidationError, match=r"less than or equal to|greater than|maximum size"):
        _parse(Int, value)


def test_true_is_no_integer():
    with pytest.raises(ValidationError, match="must be a whole number; received True"):
        _parse(Int, True)


def test_true_is_no_number():
    with pytest.raises(ValidationError, match="must be a number; received False"):
        _parse(Float, False)


@pytest.mark.parametrize("value", ["inf", float("nan")])
def test_numbers_are_finite(value):
    with pytest.raises(ValidationError, match="finite number"):
        _parse(Float, value)


def test_numbers_are_taken_from_text():
    # YAML 1.1 reads 1e-3 as a text.
    assert _parse(Float, "1e-3") == 0.001


@pytest.mark.parametrize("value", [[128, 64], "128,64", "128 64", "[128, 64]", ["128", 64.0]])
def test_lists_of_integers_in_any_spelling(value):
    assert _parse(IntList, value) == (128, 64)


def test_one_number_is_a_list_and_no_text_an_empty_one():
    assert _parse(IntList, 128) == (128,)
    assert _parse(IntList, "") == ()
    assert _parse(FloatList, 0.5) == (0.5,)


@pytest.mark.parametrize("field", [IntList, TextList])
def test_broken_json_is_named(field):
    with pytest.raises(ValidationError, match=r"must be a list such as \[1, 2\]; received '\[1,'"):
        _parse(field, "[1,")


def test_true_is_no_list():
    with pytest.raises(ValidationError, match="valid tuple"):
        _parse(IntList, True)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("a b.csv", ("a b.csv",)),
        ("a.csv, b.csv,", ("a.csv", "b.csv")),
        ('["a,b", "c"]', ("a,b", "c")),
        (["", "NA"], ("", "NA")),
        ([1, 2.0, 2.5], ("1", "2", "2.5")),
        ((), ()),
    ],
)
def test_lists_of_texts(value, texts):
    assert _parse(TextList, value) == texts


def test_yes_without_quotes_is_an_error():
    with pytest.raises(ValidationError, match="must be text; received True"):
        _parse(TextList, [True, False])


def test_a_mapping_is_no_list_of_texts():
    with pytest.raises(ValidationError, match="valid tuple"):
        _parse(TextList, {"a": 1})


@pytest.mark.parametrize("text", ["[" * 100_000, "[1", '["a" "b"]', "[" + "9" * 5000 + "]"])
def test_text_that_is_no_json_list_is_quoted_in_short(text):
    with pytest.raises(
        ValidationError, match=r"must be a list such as \[1, 2\]; received '\["
    ) as caught:
        _parse(IntList, text)
    assert len(caught.value.errors()[0]["msg"]) < 150


def test_number_of_any_size_is_a_text():
    assert _parse(TextList, [10**400, 1e300]) == (f"1{'0' * 400}", str(int(1e300)))
