"""Where real data lie is said by the environment; what is missing is said with where it can be had."""

import pytest

from federation.errors import UsageError
from simulations import settings


def test_data_folder_is_what_the_environment_names(tmp_path, monkeypatch):
    (tmp_path / "powerlifting_2017_half.parquet").write_bytes(b"rows")
    monkeypatch.setenv("PACELINE_DATA", str(tmp_path))
    assert settings.data_folder() == tmp_path
    assert settings.data_file(settings.LIFTERS.name) == tmp_path / settings.LIFTERS.name
    assert settings.has(settings.LIFTERS.name)
    assert not settings.has(settings.WALKERS.name)


def test_unset_folder_is_said_with_every_file_its_licence_and_where_it_can_be_had(monkeypatch):
    monkeypatch.delenv("PACELINE_DATA", raising=False)
    with pytest.raises(UsageError, match=r"\$PACELINE_DATA is not set") as found:
        settings.data_folder()
    for file in settings.PUBLIC:
        assert file.name in str(found.value)
        assert file.licence in str(found.value)
        assert file.origin in str(found.value)
    assert not settings.has(settings.LIFTERS.name)


def test_folder_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PACELINE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="nowhere, which is no folder"):
        settings.data_folder()


def test_missing_file_is_said_with_its_own_source_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PACELINE_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="openpowerlifting") as found:
        settings.data_file(settings.LIFTERS.name)
    assert "zenodo" not in str(found.value)
