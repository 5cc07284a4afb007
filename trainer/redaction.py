"""Text as it may be shown: secrets hidden, control characters escaped; imports nothing of ours.

Applied where text leaves the process for people: log lines (`logs.py`), the last line of a process
(`outcome.py`), findings about job files. Files of a run are not touched: what is written into them
is read again, and must stay what it was.

It knows secrets by their form or by the name before them. One that has neither is not seen.
"""

from __future__ import annotations

import re

HIDDEN = "***"

_QUERY_NAMES = (
    # Signed URLs of Cloud Storage, V4 and V2, and of S3 and Azure.
    r"X-(?:Goog|Amz)-(?:Signature|Credential|Security-Token)|GoogleAccessId|Signature|"
    r"AWSAccessKeyId|sig|key|code|"
    r"\w*token|\w*secret|\w*password|\w*api_?key"
)
# Names that say what they hold: HF_TOKEN, db_password, api-key. Bounded, so that no text takes
# long. `token` alone counts in capitals only: a column may be called token.
_SECRET_NAMES = (
    r"[\w-]{0,40}(?i:password|passwd|secret|api[_-]?key|private[_-]?key|access[_-]?key|"
    r"(?:auth|access|refresh|id|api|bearer)[_-]token)|[A-Z0-9_]{0,40}TOKEN"
)
# Not what is hidden already, or brackets behind it would go at each further time.
_VALUE = r"""(?!\*{3})(?:"[^"\n]*"|'[^'\n]*'|[^\s"',;&]+)"""
_SECRETS = (
    # https://user:password@host
    (re.compile(r"(?<=://)[^\s/@]+:[^\s/@]*@"), f"{HIDDEN}@"),
    (re.compile(rf"(?i)([?&](?:{_QUERY_NAMES})=)[^\s&#\"']+"), rf"\1{HIDDEN}"),
    (
        re.compile(r"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?)(?:\w+\s+)?[^\s\"',]+"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}"), rf"\1{HIDDEN}"),
    # HF_TOKEN=..., "HF_TOKEN": "...", --api-key=...
    (re.compile(rf"(?<![\w-])((?:--)?(?:{_SECRET_NAMES})[\"']?[=:]\s?){_VALUE}"), rf"\1{HIDDEN}"),
    # An entry of a job's env, YAML or JSON: name, then value.
    (
        re.compile(
            rf"(name[\"']?:\s?[\"']?(?:{_SECRET_NAMES})[\"']?,?\s+[\"']?value[\"']?:\s?){_VALUE}"
        ),
        rf"\1{HIDDEN}",
    ),
    # By form: Google's access tokens and API keys, GitHub's and Hugging Face's tokens, JWT, PEM.
    (re.compile(r"\bya29\.[\w-]+"), HIDDEN),
    (re.compile(r"\bAIza[\w-]{35}\b"), HIDDEN),
    (re.compile(r"\b(?:gh[opsu]|hf)_\w{20,}|\bgithub_pat_\w{20,}"), HIDDEN),
    (re.compile(r"\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]+"), HIDDEN),
    (
        re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END[A-Z -]*-----|\Z)", re.S),
        HIDDEN,
    ),
)
# All but tab and newline. With ESC, data could move the cursor and hide lines of a terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def shown(text: str) -> str:
    r"""The text as it may be logged or printed; `shown(shown(text))` is `shown(text)`.

    >>> shown("no file https://host/a.csv?X-Goog-Expires=60&X-Goog-Signature=0a1b")
    'no file https://host/a.csv?X-Goog-Expires=60&X-Goog-Signature=***'
    >>> shown("https://me:pass@host/x and HF_TOKEN=abc, token: 5")
    'https://***@host/x and HF_TOKEN=***, token: 5'
    >>> shown("cell \x1b[2J")
    'cell \\x1b[2J'
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def names_secret(name: str) -> bool:
    """Whether a variable of that name is taken to hold a secret.

    >>> names_secret("HF_TOKEN"), names_secret("db_password"), names_secret("TF_CPP_MIN_LOG_LEVEL")
    (True, True, False)
    """
    return re.fullmatch(_SECRET_NAMES, name) is not None
