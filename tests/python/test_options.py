"""Options: keyword arguments, their forms, and what a wrong one says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import steadwire
from steadwire import _core
from steadwire._options import build_config, outbox_text, set_option
from steadwire._units import milliseconds, seconds
from steadwire.errors import ConfigError, OptionError, OptionValueError, UrlError

URL = "ws://127.0.0.1:9/"


def text_of(name: str, value: Any) -> str | None:
    config = _core.Config()
    set_option(config, name, value)
    return config.get(name)


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        (15, 15.0),
        (0.25, 0.25),
        (1e-1, 0.1),
        ("15", 15.0),
        ("15s", 15.0),
        ("250ms", 0.25),
        ("2min", 120.0),
        ("1h", 3600.0),
        (timedelta(seconds=1.5), 1.5),
        (timedelta(minutes=1), 60.0),
    ],
)
def test_a_duration_has_many_forms(value: Any, expected_s: float) -> None:
    text = text_of("heartbeat_interval", value)
    assert text is not None
    assert seconds(text) == pytest.approx(expected_s)
    assert seconds(value) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("value", "expected"), [(65536, 65536), ("64KiB", 65536), ("1MiB", 1 << 20)]
)
def test_a_size_is_an_int_or_a_text(value: Any, expected: int) -> None:
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    text = text_of("max_message", value)
    assert text is not None
    number = text.rstrip("KMGiB")
    assert int(number) * units.get(text[len(number) :], 1) == expected


def test_a_bool_a_count_a_path_and_none() -> None:
    assert text_of("insecure", True) == "true"
    assert text_of("outbox_messages", 7) == "7"
    assert text_of("ca_file", Path("ca.pem")) == "ca.pem"
    config = build_config(URL, {"heartbeat_interval": None})
    assert config.get("heartbeat_interval") == _core.Config().get("heartbeat_interval")


def test_every_option_of_the_table_is_a_keyword() -> None:
    assert {option.name for option in steadwire.options()} >= {"url", "heartbeat_interval"}
    given = {
        option.name: option.default
        for option in steadwire.options()
        if option.default and option.type not in ("list", "map")
    }
    build_config(URL, given)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="heartbeat_interval"):
        build_config(URL, {"heartbeat_intervall": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heartbeat_interval", -1),
        ("heartbeat_interval", float("nan")),
        ("heartbeat_interval", float("inf")),
        ("heartbeat_interval", "soon"),
        ("heartbeat_interval", timedelta(days=9)),
        ("outbox_messages", 0),
        ("outbox_messages", -5),
        ("max_message", "16 bananas"),
        ("guarantee", "sometimes"),
        ("insecure", "perhaps"),
        ("causes", {4004: "misfortune"}),
        ("causes", {"x": "auth"}),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(OptionValueError, match=name):
        steadwire.connect(URL, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heartbeat_interval", True),
        ("heartbeat_interval", [1]),
        ("outbox_messages", 1.5),
        ("outbox_messages", True),
        ("insecure", 1),
        ("ca_file", 3),
        ("headers", ["a", "b"]),
        ("subprotocols", 3),
        ("connect_timeout", object()),
    ],
)
def test_a_wrong_type_is_a_type_error(name: str, value: Any) -> None:
    with pytest.raises(TypeError):
        steadwire.connect(URL, **{name: value})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "127.0.0.1:80",
        "",
        "ws://",
        "ws://host name/",
        "ws://127.0.0.1/\r\nEvil: yes",
        "ws://127.0.0.1/\n",
        "ws://127.0.0.1/\0",
        "ws://127.0.0.1/ü",
        "ws://127.0.0.1:99999/",
        "ws://user:secret@127.0.0.1/",
    ],
)
def test_a_url_that_must_not_go_on_the_wire(url: str) -> None:
    with pytest.raises(UrlError) as caught:
        steadwire.connect(url)
    assert isinstance(caught.value, ConfigError)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nB: c"},
        {"X-A": "a\0"},
        {"X A": "a"},
        {"X-Ä": "a"},
        {"": "a"},
        {"X-A": "ä"},
    ],
)
def test_a_header_that_must_not_go_on_the_wire(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        steadwire.connect(URL, headers=headers)
    assert "B: c" not in str(caught.value)


@pytest.mark.parametrize("subprotocols", [["a b"], ["a\r\n"], ["ä"], ["chat", ""]])
def test_a_subprotocol_that_must_not_go_on_the_wire(subprotocols: list[str]) -> None:
    with pytest.raises(ConfigError):
        steadwire.connect(URL, subprotocols=subprotocols)


def test_urls_may_be_a_list_but_not_an_empty_one() -> None:
    build_config([URL, "ws://127.0.0.1:10/"], {})
    with pytest.raises(ConfigError, match="url"):
        steadwire.connect([])


def test_a_folder_for_outboxes_keeps_its_slash(tmp_path: Path) -> None:
    assert outbox_text("dir/") == "dir/"
    assert outbox_text(tmp_path) == f"{tmp_path}/"
    assert outbox_text(tmp_path / "feed.db") == str(tmp_path / "feed.db")


def test_the_inbound_cursor_is_one_number_or_two() -> None:
    texts = {7: "7", (7, 3): "7,3", "7,3": "7,3", (0,): "0"}
    for given, text in texts.items():
        config = build_config(URL, {"profile": "session", "inbound_from": given})
        assert config.get("inbound_from") == text
    for wrong in (1.5, -1, (1, 2, 3), (), True, (1, "x"), [1, 2]):
        with pytest.raises(TypeError, match="inbound_from"):
            build_config(URL, {"inbound_from": wrong})
    with pytest.raises(ConfigError, match="inbound_from"):
        build_config(URL, {"inbound_from": "x"})


@pytest.mark.parametrize("codec", ["xml", (len,), (1, 2), ("json", "json")])
def test_a_wrong_codec_is_refused(codec: Any) -> None:
    with pytest.raises(ConfigError, match="codec"):
        steadwire.connect(URL, codec=codec)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "-1s", "1 day", ""])
def test_a_timeout_is_checked(value: Any) -> None:
    with pytest.raises(ValueError, match="a duration"):
        seconds(value)


def test_milliseconds_never_round_a_duration_to_nothing() -> None:
    assert milliseconds(1e-9, "ttl") == 1
    assert milliseconds(0, "ttl") == 0
    assert milliseconds("1.5s", "ttl") == 1500
