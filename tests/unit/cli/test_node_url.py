from __future__ import annotations

from pathlib import Path

import pytest

from aisa.cli.node_url import find_node_url, node_url
from aisa.cli.service import Service, forget_service, read_service, write_service
from aisa.errors import ConfigInvalid


def test_the_variable_wins_over_the_configuration(
    aisa_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_node_url(aisa_home) is None
    with pytest.raises(ConfigInvalid) as caught:
        node_url(aisa_home)
    assert "aisa devnet up" in caught.value.hint

    service = Service.of_this_process("http://127.0.0.1:3")
    write_service(aisa_home / "node" / "node.json", service)
    assert find_node_url(aisa_home) == "http://127.0.0.1:3"
    (aisa_home / "config.toml").write_text('[agent]\nnode = "http://127.0.0.1:2"\n')
    assert find_node_url(aisa_home) == "http://127.0.0.1:2"
    monkeypatch.setenv("AISA_NODE", "http://127.0.0.1:1")
    assert find_node_url(aisa_home) == "http://127.0.0.1:1"


def test_a_broken_configuration_is_told(aisa_home: Path) -> None:
    aisa_home.mkdir()
    (aisa_home / "config.toml").write_text("=")
    with pytest.raises(ConfigInvalid, match="is not TOML"):
        node_url(aisa_home)


def test_a_service_that_ended_is_no_service(tmp_path: Path) -> None:
    path = tmp_path / "service.json"
    write_service(path, Service(2**22 + 1, "long ago", "http://127.0.0.1:1"))
    assert read_service(path) is None
    path.write_text("{")
    assert read_service(path) is None
    assert read_service(tmp_path / "nothing") is None


def test_a_process_forgets_only_its_own_service(tmp_path: Path) -> None:
    path = tmp_path / "service.json"
    other = Service(1, "not us", "http://127.0.0.1:1")
    write_service(path, other)
    forget_service(path)
    assert path.exists()
    write_service(path, Service.of_this_process("http://127.0.0.1:1", token="secret"))
    assert path.stat().st_mode & 0o777 == 0o600
    forget_service(path)
    assert not path.exists()
