"""Prepared statements: one transaction with everything else, and no value left out unnoticed."""

import pytest
from sqlalchemy import bindparam, insert, update
from sqlmodel import col, select

from clients.store import open_store
from clients.store.prepared import prepared
from clients.store.tables import SettingRow
from federation.errors import StoreError

FIND = prepared(select(SettingRow.value).where(col(SettingRow.name) == bindparam("of_name")))
WRITE = prepared(insert(SettingRow))
CLEAR = prepared(update(SettingRow).where(col(SettingRow.name) == "a").values(value=""))


def tell_and_fail(store, told_first):
    with store.transaction() as tx:
        if told_first:
            tx.add(SettingRow(name="b", value="told"))
            tx.flush()
        tx.rows(WRITE, name="a", value="written")
        tx.rows(WRITE, name="a", value="twice")


def tell_and_give_up(store):
    with store.transaction() as tx:
        tx.add(SettingRow(name="b", value="told"))
        raise KeyError


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path) as opened:
        yield opened


def test_it_finds_what_the_session_has_only_been_told_of(store):
    with store.transaction() as tx:
        tx.add(SettingRow(name="a", value="told"))
        assert tx.first(FIND, of_name="a") == ("told",)


def test_the_session_finds_what_it_wrote(store):
    with store.transaction() as tx:
        tx.rows(WRITE, name="a", value="written")
        assert tx.get_one(SettingRow, "a").value == "written"


def test_both_are_written_together(store):
    with store.transaction() as tx:
        tx.rows(WRITE, name="a", value="written")
        tx.add(SettingRow(name="b", value="told"))
    with store.reading() as tx:
        assert [tx.first(FIND, of_name=name) for name in "abc"] == [("written",), ("told",), None]


@pytest.mark.parametrize("told_first", [True, False])
def test_both_are_undone_together(store, told_first):
    with pytest.raises(StoreError):
        tell_and_fail(store, told_first)
    with store.reading() as tx:
        assert [tx.first(FIND, of_name=name) for name in "ab"] == [None, None]


def test_a_value_that_was_forgotten_is_an_error_and_never_an_empty_cell(store):
    with pytest.raises(StoreError), store.transaction() as tx:
        tx.rows(WRITE, name="a")
    with pytest.raises(StoreError), store.transaction() as tx:
        tx.rows(FIND)


def test_a_value_that_the_statement_came_with_is_used(store):
    with store.transaction() as tx:
        tx.rows(WRITE, name="a", value="written")
        tx.rows(WRITE, name="b", value="written")
        tx.rows(CLEAR)
        assert [tx.first(FIND, of_name=name) for name in "ab"] == [("",), ("written",)]


def test_another_process_sees_nothing_before_the_end(store, tmp_path):
    with open_store(tmp_path) as other, store.transaction() as tx:
        tx.rows(WRITE, name="a", value="written")
        with other.reading() as seen:
            assert seen.first(FIND, of_name="a") is None


def test_reading_holds_one_moment_while_others_write(store, tmp_path):
    with open_store(tmp_path) as other, store.reading() as tx:
        assert tx.first(FIND, of_name="a") is None
        other.set_paused(True)
        assert tx.first(FIND, of_name="paused") is None
        assert tx.get(SettingRow, "paused") is None
    assert store.paused()


def test_what_prepared_statements_alone_wrote_is_there_after_opening_again(tmp_path):
    with open_store(tmp_path) as store, store.transaction() as tx:
        tx.rows(WRITE, name="a", value="written")
    with open_store(tmp_path) as store, store.reading() as tx:
        assert tx.first(FIND, of_name="a") == ("written",)


def test_a_row_that_is_still_held_is_read_anew_in_the_next_transaction(store, tmp_path):
    store.set_paused(True)
    with store.reading() as tx:
        held = tx.get_one(SettingRow, "paused")
    with open_store(tmp_path) as other:
        other.set_paused(False)
    with store.reading() as tx:
        assert tx.get_one(SettingRow, "paused").value == "no"
    assert held.value == "yes"


def test_what_a_failed_transaction_was_told_is_forgotten(store):
    with pytest.raises(KeyError):
        tell_and_give_up(store)
    store.set_paused(True)
    with store.reading() as tx:
        assert [tx.first(FIND, of_name=name) for name in ("b", "paused")] == [None, ("yes",)]
