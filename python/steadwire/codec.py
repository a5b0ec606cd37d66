"""Codecs: how objects become messages and messages become objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from steadwire._core import Message
from steadwire.errors import CodecError, ConfigError

Encode = Callable[[Any], "str | bytes"]
Decode = Callable[["str | bytes"], Any]
CodecLike = Literal["json"] | tuple[Encode, Decode]
"""What connect() takes as `codec`."""


class Codec(NamedTuple):
    """A pair of functions."""

    encode: Encode
    decode: Decode


class DecodedMessage(Message):
    """A message of a conn with a codec: `data` is decoded when it is first asked for."""

    __slots__ = ("_decode", "_value")

    _decode: Decode
    _value: Any

    @property
    def data(self) -> Any:
        """The decoded message; CodecError if it cannot be, then `raw` has what arrived."""
        try:
            return self._value
        except AttributeError:
            pass
        try:
            self._value = self._decode(self.raw)
        except Exception as error:
            kind = type(error).__name__
            raise CodecError(f"{self!r} cannot be decoded ({kind}); it is in .raw") from error
        return self._value


def decoded(message: Message, decode: Decode) -> DecodedMessage:
    """`message` with `decode` for its data."""
    made = DecodedMessage(message.raw, message.link, message.at_ns, message)
    made._decode = decode
    return made


def _encode_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


JSON = Codec(_encode_json, json.loads)


def find_codec(codec: CodecLike | None) -> Codec | None:
    """The codec that connect() was given."""
    if codec is None:
        return None
    if isinstance(codec, str):
        if codec == "json":
            return JSON
        raise ConfigError(f'codec={codec!r} is unknown: give "json" or a pair (encode, decode)')
    if len(codec) == 2 and callable(codec[0]) and callable(codec[1]):
        return Codec(*codec)
    raise ConfigError('codec is "json" or a pair of functions (encode, decode)')
