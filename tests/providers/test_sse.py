"""However a stream of events is written and cut, the same data comes out of it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sse import EventReader, EventTooLong

ROOM = 1_000_000
texts = st.text(
    st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), min_size=1, max_size=12
)
ends = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def fields(draw: st.DrawFn) -> str:
    """A line that is no data."""
    name = draw(st.sampled_from([":", "event:", "id: ", "retry:", "datax:", ""]))
    return name + draw(texts) if name else "unknown"


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream as bytes, and the data of its events."""
    written, expected = "\ufeff" * draw(st.booleans()), []
    end = draw(ends)
    for data in draw(st.lists(st.lists(texts, max_size=3), max_size=5)):
        lines = [draw(st.sampled_from(["data: ", "data:"])) + line.lstrip(" ") for line in data]
        lines = draw(st.lists(fields(), max_size=2)) + lines + draw(st.lists(fields(), max_size=1))
        written += "".join(line + end for line in lines) + end * draw(st.integers(1, 3))
        if joined := "\n".join(line.lstrip(" ") for line in data):
            expected.append(joined.encode())
    return written.encode(), expected


def read(pieces: list[bytes]) -> list[bytes]:
    reader = EventReader(ROOM)
    return [event for piece in pieces for event in reader.feed(piece)] + reader.end()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(borders)]


@settings(max_examples=400, deadline=None)
@given(streams(), st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_gives_the_same_events(stream: tuple[bytes, list[bytes]], places: list[int]) -> None:
    written, expected = stream
    assert read([written]) == expected
    assert read(cut(written, places)) == expected
    assert read([written[i : i + 1] for i in range(len(written))]) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"data: a", b"data", b"data:", b"\r", b"\n", b"\r\n", b": c", b"\xc3\xa9"])))
def test_mixed_line_ends_read_the_same_in_every_cut(parts: list[bytes]) -> None:
    written = b"".join(parts)
    whole = read([written])
    assert all(read([written[:i], written[i:]]) == whole for i in range(len(written)))
    assert read([written[i : i + 1] for i in range(len(written))]) == whole


def test_an_event_is_given_as_soon_as_it_is_whole() -> None:
    reader = EventReader(ROOM)
    assert reader.feed(b"data: Alice\r\n\r") == [b"Alice"]
    assert reader.feed(b"\ndata: Bob") == []
    assert reader.feed(b"\n\n") == [b"Bob"]


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n", b"\r"])
def test_an_event_without_its_last_blank_line_comes_from_the_end(tail: bytes) -> None:
    reader = EventReader(ROOM)
    assert reader.feed(b"data: Alice\n\ndata: Bob" + tail) == [b"Alice"]
    assert reader.end() == [b"Bob"]
    assert reader.end() == []


def test_a_data_line_without_a_colon_keeps_its_place_as_an_empty_line() -> None:
    assert read([b"data\ndata: a\ndata\ndata: b\n\n"]) == [b"\na\n\nb"]


def test_only_one_space_is_taken_away() -> None:
    assert read([b"data:  a \n\n"]) == [b" a "]


@pytest.mark.parametrize(
    "stream", [b"\n\n\n", b"data:\n\n", b"data: \n\n", b": ping\n\n", b"event: ping\n\n"]
)
def test_events_without_data_give_nothing(stream: bytes) -> None:
    assert read([stream]) == []


def test_a_byte_order_mark_is_dropped_at_the_start_only() -> None:
    assert read([b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n"]) == [b"a"]


def test_an_endless_event_is_refused() -> None:
    reader = EventReader(longest=1000)
    for _ in range(20):
        assert reader.feed(b"x" * 50) == []
    with pytest.raises(EventTooLong):
        reader.feed(b"x")


def test_many_small_events_are_within_the_bound() -> None:
    reader = EventReader(longest=1000)
    assert len(reader.feed(b"data: Alice\n\n" * 1000)) == 1000
