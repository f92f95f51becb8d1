"""Forms in any cut: their fields are read, and they are written again with nothing lost."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.forms import BadForm, FormReader

TYPE = "multipart/form-data; boundary=xYz"


def part(name: str, value: bytes, *more: str) -> bytes:
    head = "; ".join([f'Content-Disposition: form-data; name="{name}"', *more])
    return b"--xYz\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n"


FILE = part("file", bytes(range(256)) + b"\r\n--xY", 'filename="g\xfc\xdf e.wav"\r\nContent-Type: audio/wav')
END = b"--xYz--\r\n"
FORM = FILE + part("model", b"whisper") + part("language", b"de") + END


def read(form: bytes, cuts: list[int]) -> tuple[FormReader, bytes]:
    reader = FormReader(TYPE, ("model",))
    borders = sorted({0, len(form), *(cut % len(form) for cut in cuts)})
    made = b"".join(reader.feed(form[a:b]) for a, b in itertools.pairwise(borders))
    reader.end()
    return reader, made


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_any_cut_gives_the_same_form_with_the_model_left_open(cuts: list[int]) -> None:
    reader, made = read(FORM, cuts)
    assert reader.fields == {"model": "whisper", "language": "de"}
    at = reader.open_at["model"]
    assert made[:at] + b"whisper" + made[at:] == FORM


@given(st.binary(max_size=300).filter(lambda data: b"\r\n--xYz" not in data), st.lists(st.integers(0, 999)))
def test_files_keep_every_byte(data: bytes, cuts: list[int]) -> None:
    form = part("file", data, 'filename="a"') + END
    _, made = read(form, cuts)
    assert made == form


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "application/json", "", "multipart/mixed; boundary=x"]
)
def test_a_type_without_a_boundary_is_refused(kind: str) -> None:
    with pytest.raises(BadForm, match="boundary"):
        FormReader(kind)


@pytest.mark.parametrize("form", [b"--other\r\n\r\nx", b"nonsense", FORM[:-10], b""])
def test_what_is_no_whole_form_is_refused(form: bytes) -> None:
    with pytest.raises(BadForm):
        read(form, [])


def test_more_parts_than_anybody_needs_are_refused() -> None:
    with pytest.raises(BadForm, match="parts"):
        FormReader(TYPE).feed(part("a", b"b") * 1001)


def test_a_value_that_is_no_model_is_refused() -> None:
    with pytest.raises(BadForm, match="too long"):
        FormReader(TYPE, ("model",)).feed(part("model", b"x" * 100_000))
