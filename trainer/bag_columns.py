"""The kinds of column of which a row has several values: bags of tags, and texts.

Imports neither TensorFlow nor Arrow. The terms are those of `column_base.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainer.column_base import MOST_IDS, IdColumn
from trainer.fields import Auto, Int
from trainer.id_columns import VocabularyColumn

Combiner = Literal["mean", "sum", "sqrtn"]

# What `auto` takes at most, 4 bytes of an encoded row each: few things have more than 32 tags, and
# the words and pairs of a sentence of 32 words are 63.
MOST_AUTO_VALUES = 32
MOST_AUTO_TOKENS = 64
MOST_SLOTS = 4096

_COMBINER = Field(
    description="How the rows of the values become one, in both parts: their mean, their sum, or "
    "their sum divided by the square root of their number.",
)


class MultiHot(VocabularyColumn):
    """A text of several values, such as `red|blue`; each becomes an id as a category does.

    Blanks around a value do not count, nor do empty values; one that stands twice counts twice.
    Without any value the row has the id 0, missing.
    """

    kind: Literal["multi_hot"] = "multi_hot"
    delimiter: Annotated[str, Field(min_length=1)] = Field(
        "|", description="Text between two values; a list of Parquet is joined by it."
    )
    combiner: Annotated[Combiner, _COMBINER] = "mean"
    max_values: Auto | Annotated[Int, Field(ge=1, le=MOST_SLOTS)] = Field(
        "auto",
        description="Values of a row that are read, the first ones. auto: as many as a training "
        f"row has, at most {MOST_AUTO_VALUES}.",
    )


class Text(IdColumn):
    """A text of words in any language: hashed words and pairs of neighbouring words.

    A word is a run of letters, digits and marks, in lower case; an n-gram is n neighbouring words.
    """

    kind: Literal["text"] = "text"
    ngrams: Annotated[Int, Field(ge=1, le=5)] = Field(
        2, description="Longest n-gram: 1 for words, 2 for words and pairs."
    )
    hash_buckets: Annotated[Int, Field(ge=1, le=MOST_IDS)] = Field(
        2**14, description="Buckets that the n-grams are hashed into."
    )
    combiner: Annotated[Combiner, _COMBINER] = "mean"
    max_tokens: Auto | Annotated[Int, Field(ge=1, le=MOST_SLOTS)] = Field(
        "auto",
        description="n-grams of a row that are read: all words, then all pairs. auto: as many as a "
        f"training row has, at most {MOST_AUTO_TOKENS}.",
    )


BagColumn = MultiHot | Text
BAG_KINDS = (MultiHot, Text)
