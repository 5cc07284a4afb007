import time

import pytest

from trainer.redaction import names_secret, shown

SECRET = "s3cr3t-Va1ue.x"


@pytest.mark.parametrize(
    "text",
    [
        f"https://storage.googleapis.com/b/a.csv?X-Goog-Algorithm=A&X-Goog-Signature={SECRET}",
        f"https://storage.googleapis.com/b/a.csv?X-Goog-Credential={SECRET}%2Fauto&x=1",
        f"https://host/a.csv?GoogleAccessId={SECRET}&Expires=1&Signature={SECRET}",
        f"https://host/a.csv?token={SECRET}",
        f"'https://host/a?access_token={SECRET}'",
        f"https://user:{SECRET}@host/simple and more",
        f"pip install --index-url=https://{SECRET}:@host",
        f"Authorization: Bearer {SECRET}",
        f'{{"Authorization": "Basic {SECRET}"}}',
        f"authorization={SECRET}",
        f"bearer {SECRET} was refused",
        f"HF_TOKEN={SECRET}",
        f'"WANDB_API_KEY": "{SECRET} with spaces"',
        f"db_password='{SECRET} b'",
        f"--client-secret={SECRET}",
        f"env: [{{name: HF_TOKEN, value: {SECRET}}}]",
        f'"env": [{{"name": "DB_PASSWORD", "value": "{SECRET} and more"}}]',
        f"- name: 'MY_SECRET'\n  value: '{SECRET}'\n- name: B",
    ],
)
def test_secret_is_hidden(text):
    safe = shown(text)
    assert "s3cr3t" not in safe and "***" in safe
    assert shown(safe) == safe


@pytest.mark.parametrize(
    "secret",
    [
        "ya29.a0AfB_by-x",
        "AIza" + "x" * 35,
        "ghp_" + "a1" * 18,
        "hf_" + "aB" * 17,
        "eyJhbGciOi.eyJzdWIi.SflKxw-_c",
        "-----BEGIN PRIVATE KEY-----\nMIIE\nvQ==\n-----END PRIVATE KEY-----",
        # As an error's one line holds it, cut off.
        "-----BEGIN RSA PRIVATE KEY----- MIIE vQ==",
    ],
)
def test_secret_is_known_by_its_form(secret):
    assert shown(f"a {secret}") == "a ***"


@pytest.mark.parametrize(
    "text",
    [
        "no file matches gs://bucket/train-*.csv; the folder has a.csv, b.csv",
        "data.train: gs://b/x?y.csv and /data/a@b:c.csv at 12:34:56",
        "column token: 5 distinct tokens; most frequent token = 'abc'",
        "key: id, the key column; data.key=id",
        "password is a column\nwith 3 values",
        "training.batch_size must be a multiple of 8; received 100",
        "gs://bucket:1/a and grpc://10.0.0.1:8470",
        "step 3\tloss 0.5\n",
        "Grusse aus M\u00fcnchen \u4e2d\u6587",
    ],
)
def test_other_text_stays(text):
    assert shown(text) == text


def test_control_characters_are_escaped():
    assert shown("a\x1b[31mred\rb\x00\x7f\x9b2J") == "a\\x1b[31mred\\x0db\\x00\\x7f\\x9b2J"


@pytest.mark.parametrize("piece", ["a-", "x_", "://a", "?token", "name: TOKEN ", "eyJ.", "A"])
def test_long_text_takes_no_long_time(piece):
    started = time.monotonic()
    shown(piece * (200_000 // len(piece)))
    assert time.monotonic() - started < 20


def test_names_that_say_secret():
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "OPENAI_API_KEY"):
        assert names_secret(name)
    for name in ("PATH", "TF_CPP_MIN_LOG_LEVEL", "TOKENIZERS_PARALLELISM", "KEY"):
        assert not names_secret(name)
