"""The models that come with rotdis answer as they did when they were exported."""

import socket

import pytest

import rotdis
from rotdis import packaged
from rotdis.packaged import archive, card, export, golden

MODELS = [pytest.param(name, id=name) for name in packaged.names()]


@pytest.mark.parametrize("name", MODELS)
def test_a_packaged_model_answers_as_it_did_when_it_was_exported(name, monkeypatch):
    def refuse(*_):
        raise AssertionError("a packaged model needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = rotdis.load(name)
    assert golden.compare(model, archive.read(packaged.find(name)).golden) == []


@pytest.mark.parametrize("name", MODELS)
def test_a_packaged_model_is_small_and_has_a_complete_card(name):
    path = packaged.find(name)
    assert path.stat().st_size <= export.LIMIT
    text = path.with_suffix(".md").read_text()
    assert card.FILL_IN not in text
    for heading in card.SECTIONS:
        assert f"## {heading}\n" in text
