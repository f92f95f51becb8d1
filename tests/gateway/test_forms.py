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


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (part("model", b"a") + part("model", b"b"), "'model' comes twice"),
        (part("model", b"a", 'filename="x"'), "'model' is a file"),
        (part("a", b"b", 'x=y\r\ncontent-disposition: form-data; name="model"'), "two Content-Dispositions"),
    ],
)
def test_a_model_that_a_provider_could_read_another_way_is_refused(form: bytes, why: str) -> None:
    with pytest.raises(BadForm, match=why):
        FormReader(TYPE, ("model",)).feed(form)


def test_values_are_kept_up_to_a_bound_and_the_model_always() -> None:
    many = b"".join(part(f"a{number}", b"x" * 60_000) for number in range(50))
    reader, made = read(many + part("model", b"whisper") + END, [])
    assert sum(map(len, reader.fields.values())) < 2**20
    assert reader.fields["model"] == "whisper"
    assert len(made) == len(many + part("model", b"") + END)


def test_a_value_that_is_no_model_is_refused() -> None:
    with pytest.raises(BadForm, match="too long"):
        FormReader(TYPE, ("model",)).feed(part("model", b"x" * 100_000))


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_what_stands_behind_the_form_is_left_out(cuts: list[int]) -> None:
    _, made = read(FILE + END + b"That was a form.\r\n", cuts)
    assert made == FILE + END


def test_nothing_may_stand_before_the_form() -> None:
    """No client writes it, and a provider could read it another way."""
    with pytest.raises(BadForm, match="not the form"):
        FormReader(TYPE).feed(b"This is a form.\r\n\r\n" + FILE + END)


DEFAULTS = {
    "language": b'"fr"',
    "temperature": b"0.5",
    "prompt": b'"gr\xc3\xbc\xc3\x9fe"',
    "file": b'"x"',
    "timestamp_granularities": b'["word","segment"]',
    "diarize": b"true",
    "chunking_strategy": b'{"type":"server_vad"}',
    "seed": b"null",
    'a"\r\nb': b"1",
}


def test_defaults_are_added_for_what_the_form_does_not_name() -> None:
    reader, made = read(FORM, [])
    missing = reader.missing(DEFAULTS)
    assert missing == b"".join(
        [
            part("temperature", b"0.5"),
            part("prompt", "grüße".encode()),
            part("timestamp_granularities[]", b"word"),
            part("timestamp_granularities[]", b"segment"),
            part("diarize", b"true"),
            part("chunking_strategy", b'{"type":"server_vad"}'),
            part("a%22%0D%0Ab", b"1"),
        ]
    )
    at = reader.end_at
    again = FormReader(TYPE)
    again.feed(made[:at] + missing + made[at:])
    again.end()
    assert again.fields["temperature"] == "0.5"
    assert again.fields["language"] == "de"


def test_a_list_that_the_client_named_has_no_default() -> None:
    reader, _ = read(part("timestamp_granularities[]", b"word") + END, [])
    assert reader.missing({"timestamp_granularities": b'["segment"]'}) == b""
