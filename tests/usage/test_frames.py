"""The journal's framing: what is whole is read, and nothing is invented."""

from hypothesis import given
from hypothesis import strategies as st

from tests.usage.rows import asked
from usage.frames import LONGEST, Decoded, decode, encode
from usage.records import Record, Settled

ATTEMPTS = [asked(name) for name in ("alice", "bob", "çsettled", "carol")]
RECORDS: list[Record] = [record for one in ATTEMPTS for record in (one.started(), one.settled())]
FRAMES = [encode(record) for record in RECORDS]
DATA = b"".join(FRAMES)
BORDERS = [sum(map(len, FRAMES[:count])) for count in range(len(FRAMES) + 1)]


def test_records_come_back_as_they_were_written() -> None:
    assert decode(DATA, final=True) == Decoded(RECORDS, len(DATA), False)


@given(st.integers(0, len(DATA)))
def test_a_file_cut_anywhere_gives_all_that_is_before_the_cut(cut: int) -> None:
    whole = sum(border <= cut for border in BORDERS) - 1
    assert decode(DATA[:cut], final=True) == Decoded(RECORDS[:whole], cut, False)


@given(st.integers(0, len(DATA)))
def test_a_file_that_still_grows_is_read_up_to_its_last_whole_frame(cut: int) -> None:
    whole = sum(border <= cut for border in BORDERS) - 1
    assert decode(DATA[:cut], final=False) == Decoded(RECORDS[:whole], BORDERS[whole], False)


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_damaged_byte_costs_only_the_frame_that_it_is_in(position: int, flip: int) -> None:
    damaged = bytearray(DATA)
    damaged[position] ^= flip
    hit = sum(border <= position for border in BORDERS) - 1
    found = decode(bytes(damaged), final=True)
    assert found.records == RECORDS[:hit] + RECORDS[hit + 1 :]
    assert found.damaged or hit == len(FRAMES) - 1


@given(st.binary(max_size=300), st.integers(0, len(FRAMES)))
def test_rubbish_between_frames_is_stepped_over(rubbish: bytes, place: int) -> None:
    data = DATA[: BORDERS[place]] + rubbish + DATA[BORDERS[place] :]
    assert decode(data, final=True).records == RECORDS


@given(st.lists(st.integers(0, len(DATA)), max_size=6), st.booleans())
def test_reading_in_pieces_gives_the_same_as_reading_at_once(cuts: list[int], broken: bool) -> None:
    data = (b"\xff" * 20 + DATA[3:]) if broken else DATA
    found: list[Record] = []
    position = 0
    for cut in sorted(cuts):
        piece = decode(data[position:cut], final=False)
        position += piece.used
        found += piece.records
    found += decode(data[position:], final=True).records
    assert found == (RECORDS[1:] if broken else RECORDS)


def test_damage_longer_than_a_frame_does_not_stop_the_reading() -> None:
    data = FRAMES[0] + b"\xff" * (3 * LONGEST) + FRAMES[1]
    first = decode(data[: 2 * LONGEST], final=False)
    second = decode(data[first.used :], final=True)
    assert (first.records, second.records) == (RECORDS[:1], RECORDS[1:2])
    assert first.damaged
    assert 0 < first.used <= 2 * LONGEST


def test_a_number_that_no_database_holds_is_clipped_before_it_is_written() -> None:
    row = asked().settled(prompt_tokens=2**90, completion_tokens=-4)
    assert _written(row).prompt_tokens == 10**12


def test_a_name_with_half_a_character_is_written_all_the_same() -> None:
    assert _written(asked().settled(error_class="odd \ud800")).error_class == "odd ?"


def test_a_name_of_a_megabyte_is_cut_so_that_a_frame_stays_small() -> None:
    frame = encode(asked().settled(error_class="x" * 10**6))
    assert len(frame) < 2000


def test_a_token_count_that_is_text_or_broken_costs_the_count_and_not_the_row() -> None:
    row = asked().settled(prompt_tokens="many", completion_tokens=12.0, cached_tokens=[1])
    found = _written(row)
    assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens) == (0, 12, 0)
    assert found.attempt_id == row.attempt_id


def _written(row: Settled) -> Settled:
    (record,) = decode(encode(row), final=True).records
    assert isinstance(record, Settled)
    return record
