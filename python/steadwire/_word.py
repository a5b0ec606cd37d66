"""What the members of the engine's lists can do; the lists themselves are in `words`."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Word(StrEnum):
    """One word of a list: equal to its name, with its number in the ABI and its meaning."""

    number: int
    text: str

    def __new__(cls, name: str, number: int = 0, text: str = "") -> Self:
        word = str.__new__(cls, name)
        word._value_ = name
        word.number = number
        word.text = text
        return word


class RankedWord(Word):
    """A word of a list whose order means something: `Proof.WRITTEN < Proof.RECEIVED`."""

    def __lt__(self, other: str) -> bool:
        return self.number < type(self)(other).number

    def __le__(self, other: str) -> bool:
        return self.number <= type(self)(other).number

    def __gt__(self, other: str) -> bool:
        return self.number > type(self)(other).number

    def __ge__(self, other: str) -> bool:
        return self.number >= type(self)(other).number


class CauseWord(StrEnum):
    """A cause: as `Word`, with the name of its class and what to do about it."""

    number: int
    class_name: str
    text: str
    remedy: str

    def __new__(
        cls, name: str, number: int = 0, class_name: str = "", text: str = "", remedy: str = ""
    ) -> Self:
        word = str.__new__(cls, name)
        word._value_ = name
        word.number = number
        word.class_name = class_name
        word.text = text
        word.remedy = remedy
        return word
