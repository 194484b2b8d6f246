"""What every metadata database must do, run against SQLite and PostgreSQL alike."""

import threading

import pytest

from consilience.registry.database import Database
from consilience.registry.errors import StorageFailed
from consilience.registry.metadata import Metadata
from consilience.registry.version import Version


def check_metadata_store(make) -> None:
    """``make()`` opens one and the same database; each call gives a connection pool of its own."""
    first, second = make(), make()
    try:
        _commits_are_whole(first, second)
        _versions_come_back_in_order(first)
        _pointers_move_by_compare_and_swap(first, second)
        _writers_of_one_name_wait_for_each_other(first, second)
        _events_keep_their_order(first)
    finally:
        first.close()
        second.close()


def version(name: str, number: str) -> Version:
    return Version(name, number, "0" * 64, "K", 1, "2026-01-01T00:00:00.000000Z", "me", "development")


def add(database: Database, *versions: Version) -> None:
    with database.writing() as connection:
        metadata = Metadata(connection)
        for own in versions:
            metadata.lock_name(own.name)
            metadata.add_version(own)


def _commits_are_whole(first: Database, second: Database) -> None:
    with pytest.raises(KeyError), first.writing() as connection:
        metadata = Metadata(connection)
        metadata.lock_name("half")
        metadata.add_version(version("half", "1.0.0"))
        raise KeyError
    for database in (first, second):
        with database.reading() as connection:
            assert Metadata(connection).all_names() == [] and Metadata(connection).events() == []
    add(first, version("whole", "1.0.0"))
    with pytest.raises(StorageFailed):
        add(first, version("whole", "1.0.1"), version("whole", "1.0.0"))
    with second.reading() as connection:
        assert [v.number for v in Metadata(connection).versions("whole")] == ["1.0.0"]


def _versions_come_back_in_order(database: Database) -> None:
    numbers = ["1.0.0", "1.0.9", "1.0.10", "1.2.0", "1.10.0", "2.0.0", "10.0.0"]
    add(database, *(version("ordered", number) for number in numbers))
    with database.reading() as connection:
        assert [v.number for v in Metadata(connection).versions("ordered")] == numbers[::-1]
        assert [v.number for v in Metadata(connection).versions("ordered", newest=2)] == ["10.0.0", "2.0.0"]


def _pointers_move_by_compare_and_swap(first: Database, second: Database) -> None:
    for database, moves, moved in ((first, None, True), (second, None, False), (second, 1, True), (first, 1, False)):
        with database.writing() as connection:
            assert Metadata(connection).move_pointer("ordered", "live", "1.0.0", moves) is moved
    with first.reading() as connection:
        assert Metadata(connection).pointer("ordered", "live") == ("1.0.0", 2)


def _writers_of_one_name_wait_for_each_other(first: Database, second: Database) -> None:
    order, begun = [], threading.Event()

    def late() -> None:
        begun.wait()
        with second.writing() as connection:
            Metadata(connection).lock_name("ordered")
            order.append("second")

    thread = threading.Thread(target=late)
    thread.start()
    with first.writing() as connection:
        Metadata(connection).lock_name("ordered")
        begun.set()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def _events_keep_their_order(database: Database) -> None:
    with database.writing() as connection:
        for number in range(20):
            Metadata(connection).add_event("ordered", str(number), "note", "", "me", {"n": number})
    with database.reading() as connection:
        found = Metadata(connection).events("ordered", kind="note")
    assert [event.data["n"] for event in found] == list(range(20))
    assert [event.at for event in found] == sorted(event.at for event in found)
