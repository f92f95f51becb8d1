"""What is read of a request's body, and that rewriting touches nothing else."""

import json
from collections.abc import Mapping
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.calibration import PromptSize
from gateway.calls import BadCall, Call, read, rewrite

MODEL = b'{"model":"llm"%s}'
DEEP = 100_000
blanks = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])
numbers = st.one_of(
    st.integers().map(str),
    st.integers(10**29, 10**30).map(str),
    st.sampled_from(["1.0e5", "1E400", "-0", "-0.0", "1.50", "2e-7", "0.1"]),
)


@st.composite
def strings(draw: st.DrawFn) -> str:
    """A JSON string, some of it escaped."""
    text = draw(st.text(st.sampled_from('ab"\\/{}[],: \n\té€😀\u2028\0'), max_size=6))
    form = draw(st.sampled_from([True, False]))
    written = json.dumps(text, ensure_ascii=form)
    return written.replace("/", "\\/") if draw(st.booleans()) else written


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.tuples(blanks, st.lists(inner, max_size=3)).map(lambda t: f"[{t[0]}{f',{t[0]}'.join(t[1])}]")
    members = st.tuples(strings(), blanks, inner).map(lambda t: f"{t[0]}{t[1]}:{t[1]}{t[2]}")
    objects = st.tuples(blanks, st.lists(members, max_size=3)).map(
        lambda t: "{{{}{}}}".format(t[0], ",".join(t[1]))
    )
    return lists | objects


values = st.recursive(
    st.one_of(st.sampled_from(["null", "true", "false"]), numbers, strings()), containers, max_leaves=8
)
names = st.sampled_from(["a", "b", "temperature", "é", 'q"', "{", ""])


@st.composite
def members(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Names and members as text, duplicates included; one of them is the model."""
    made = []
    for name in draw(st.lists(names, max_size=6)):
        key = draw(st.sampled_from([json.dumps(name), json.dumps(name, ensure_ascii=False)]))
        made.append((name, f"{key}{draw(blanks)}:{draw(blanks)}{draw(values)}"))
    place = draw(st.integers(0, len(made)))
    key = draw(st.sampled_from(['"model"', '"mod\\u0065l"']))
    return [*made[:place], ("model", f'{key}:{draw(blanks)}"llm"'), *made[place:]]


edits_of = st.dictionaries(names, st.one_of(st.none(), values), max_size=4)


def body_of(written: list[tuple[str, str]], blank: str) -> bytes:
    return (
        blank + "{" + blank + f"{blank},{blank}".join(text for _, text in written) + blank + "}" + blank
    ).encode()


def expected(written: list[tuple[str, str]], edits: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """The members after the edits: each with its name as it was written, or the name alone when replaced."""
    told = []
    for name, text in written:
        if name not in edits:
            told.append((name, text))
        elif (value := edits[name]) is not None:
            told.append((name, value))
    present = {name for name, _ in written}
    return told + [(n, v) for n, v in edits.items() if v is not None and n not in present]


@settings(max_examples=100, deadline=None)
@given(members(), edits_of, blanks)
def test_rewriting_changes_the_edited_members_and_no_byte_of_the_others(
    written: list[tuple[str, str]], edits: dict[str, str | None], blank: str
) -> None:
    call = read(body_of(written, blank))
    raw = {name: None if value is None else value.encode() for name, value in edits.items()}
    new = rewrite(call, raw)
    told = expected(written, edits)
    pairs = json.loads(new, object_pairs_hook=lambda pairs: pairs)
    assert [name for name, _ in pairs] == [name for name, _ in told]
    rest = new.decode().removeprefix("{")
    for name, text in told:
        kept = rest.index(text)
        assert kept == 0 or (name in edits and rest[:kept].rstrip(" \t\r\n").endswith(":"))
        rest = rest[kept + len(text) :]
        assert rest[0] in ",}"
        rest = rest[1:]
    assert rest == ""


@pytest.mark.parametrize("first", [b"15", b"1.5", b"1e5", b"1E+5", b"1", b"-1", b'"1"', b"[1]"])
def test_a_number_that_begins_like_its_later_double_is_not_cut(first: bytes) -> None:
    body = b'{"a":' + first + b',"model":"llm","a":1}'
    assert rewrite(read(body), {"model": b'"x"'}) == body.replace(b"llm", b"x")


@settings(max_examples=80, deadline=None)
@given(members(), blanks)
def test_without_edits_the_value_stays_the_same(written: list[tuple[str, str]], blank: str) -> None:
    body = body_of(written, blank)
    keep = {"object_pairs_hook": list, "parse_int": str, "parse_float": str}
    assert json.loads(rewrite(read(body), {}), **keep) == json.loads(body, **keep)  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=40),
        st.text(st.sampled_from('{}[]",:\\ ud8eE+-.01truefalsn'), max_size=40).map(
            lambda junk: MODEL % (b',"a":' + junk.encode())
        ),
        values.map(str.encode),
        st.dictionaries(
            st.sampled_from(["model", "stream", "n", "max_tokens", "stream_options", "user", "messages"]),
            values,
        ).map(lambda d: ("{" + ",".join(f'"{n}":{v}' for n, v in d.items()) + "}").encode()),
    )
)
def test_any_bytes_are_a_call_or_a_bad_call(body: bytes) -> None:
    with suppress(BadCall):
        assert json.loads(rewrite(read(body), {"model": b'"x"'}))["model"] == "x"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b'"model"',
        b'{"model":"llm"}{}',
        b'\xef\xbb\xbf{"model":"llm"}',
        MODEL % b',"a":NaN',
        MODEL % b',"a":-Infinity',
        MODEL % b',"a":01',
        MODEL % b',"a":"\xff"',
        MODEL % b',"a":"\\ud800"',
        MODEL % b',"a":"\\udc00\\ud800"',
        MODEL % b',"a":["\\ud83d\\ude00\\ud83d"]',
        MODEL % b',"\\ud800":1',
        MODEL % (b',"a":' + b"[" * DEEP + b"]" * DEEP),
        MODEL % (b',"a":' + b'{"b":' * DEEP + b"1" + b"}" * DEEP),
        MODEL % (b',"n":' + b"1" * 5000),
        MODEL % (b',"a":[-' + b"1" * 5000 + b"]"),
        MODEL % (b',"a":{"b":1.' + b"1" * 5000 + b"}"),
    ],
)
def test_what_is_no_sound_object_is_a_bad_call(body: bytes) -> None:
    with pytest.raises(BadCall):
        read(body)


@pytest.mark.parametrize(
    "more",
    [
        rb',"a":"\ud83d\ude00"',
        rb',"a":"\\ud800"',
        rb',"a":"\ud83d\ude00","b":[1E400]',
        b',"a":"' + b"1" * 9000 + b'"',
        b',"a":["' + b"1" * 9000 + rb'\"1"]',
        b',"a":[' + b"1" * 300 + b"]",
        b',"a":' + b"[" * 500 + b"]" * 500,
    ],
)
def test_what_only_looks_like_trouble_passes(more: bytes) -> None:
    assert read(MODEL % more).model == "llm"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (b'"model":7', "model"),
        (b'"model":null', "model"),
        (b'"model":""', "model"),
        (b'"stream":true', "model"),
        (b'"model":"llm","stream":"yes"', "stream"),
        (b'"model":"llm","stream":1', "stream"),
        (b'"model":"llm","n":0', "n"),
        (b'"model":"llm","n":1.5', "n"),
        (b'"model":"llm","n":true', "n"),
        (b'"model":"llm","max_tokens":-1', "max_tokens"),
        (b'"model":"llm","max_tokens":"10"', "max_tokens"),
        (b'"model":"llm","max_completion_tokens":{}', "max_completion_tokens"),
        (b'"model":"llm","stream":true,"stream_options":[]', "stream_options"),
        (b'"model":"llm","stream":true,"stream_options":{"include_usage":"yes"}', "stream_options"),
    ],
)
def test_a_wrong_type_names_its_field(fields: bytes, param: str) -> None:
    with pytest.raises(BadCall) as bad:
        read(b"{" + fields + b"}")
    assert bad.value.param == param


def call(**fields: object) -> Call:
    return read(msgspec.json.encode({"model": "llm", **fields}))


def test_null_is_as_good_as_absent() -> None:
    told = call(stream=None, n=None, max_tokens=None, stream_options=None, user=None)
    assert (told.stream, told.choices, told.cap, told.wants_usage, told.end_user) == (
        False,
        1,
        None,
        False,
        "",
    )


def test_the_last_of_two_values_counts() -> None:
    told = read(b'{"model":"a","stream":true,"model":"b","stream":false}')
    assert (told.model, told.stream) == ("b", False)


def test_caps_and_choices_are_read() -> None:
    assert call(max_tokens=5, max_completion_tokens=9).cap == 9
    assert call(n=3).choices == 3


@pytest.mark.parametrize("most", [10**6 + 1, 10**9, 10**30, int("9" * 400)])
def test_a_cap_that_bounds_nothing_counts_as_none(most: int) -> None:
    assert call(max_tokens=10**6).cap == 10**6
    assert call(max_tokens=most).cap is None
    assert call(max_completion_tokens=most, max_tokens=5).cap is None


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize(
    "value", ["-1", "0", '"10"', '"many"', "1.5", "1e3", "true", "false", "[1]", "{}", "-1" + "0" * 300]
)
def test_a_number_that_is_none_is_refused_with_what_to_do(name: str, value: str) -> None:
    with pytest.raises(BadCall, match=f"'{name}' must be a whole number from 1 on; without it, ") as bad:
        read(MODEL % f',"{name}":{value}'.encode())
    assert bad.value.param == name


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("digits", [401, 5000])
def test_a_number_of_400_digits_and_more_is_refused(name: str, digits: int) -> None:
    with pytest.raises(BadCall, match="too long"):
        read(MODEL % f',"{name}":1{"0" * digits}'.encode())


@pytest.mark.parametrize("n", [129, 10**9, 10**30])
def test_more_answers_than_anybody_needs_are_refused_with_what_to_do(n: int) -> None:
    assert call(n=128).choices == 128
    with pytest.raises(BadCall, match="at most 128; send several requests") as bad:
        call(n=n)
    assert bad.value.param == "n"


def test_usage_is_wanted_only_of_a_stream_that_asks() -> None:
    assert call(stream=True, stream_options={"include_usage": True, "x": 1}).wants_usage
    assert not call(stream=True, stream_options={"include_usage": False}).wants_usage
    assert not call(stream=True).wants_usage
    assert not call(stream_options={"include_usage": True}).wants_usage


def test_an_end_user_of_another_type_is_the_providers_matter() -> None:
    assert call(user="Alice").end_user == "Alice"
    assert call(user={"id": 7}).end_user == ""


def messages(text: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": text}]


def test_all_that_a_model_reads_is_counted_in_bytes_of_json() -> None:
    said = messages("Hello € ")
    tools = [{"x": "y" * 1000}]
    assert call(messages=said).prompt == PromptSize(len(msgspec.json.encode(said)), 1, 0)
    assert call(messages=said * 3).prompt.messages == 3
    more = call(messages=said, tools=tools).prompt.text_bytes - call(messages=said).prompt.text_bytes
    assert more == len(msgspec.json.encode(tools))
    assert call(prompt="Hello").prompt == PromptSize(7, 0, 0)
    assert call(input=["Hello", "Bob"]).prompt == PromptSize(15, 0, 0)
    assert call(temperature=0.123456).prompt == PromptSize(0, 0, 0)


def test_a_longer_prompt_is_estimated_higher() -> None:
    short, long = call(messages=messages("Hello")), call(messages=messages("Hello " * 1000))
    assert 10 < short.prompt_tokens < 60
    assert 1500 < long.prompt_tokens < 4000


PNG = "data:image/png;base64," + "iVBORw0KGgo/+A==" * 50_000
ADDRESS = "https://pictures.example.com/of/bob.png?signature=" + "a1B2" * 500
MEDIA: dict[str, dict[str, object]] = {
    "picture": {"type": "image_url", "image_url": {"url": PNG}},
    "picture with a detail": {"type": "image_url", "image_url": {"detail": "high", "url": PNG}},
    "picture by its address": {"type": "image_url", "image_url": {"url": ADDRESS}},
    "picture as text": {"type": "input_image", "image_url": PNG},
    "sound": {"type": "input_audio", "input_audio": {"data": "UklGR" * 9999, "format": "wav"}},
    "film": {"type": "video_url", "video_url": {"url": ADDRESS}},
    "file": {"type": "file", "file": {"filename": "a b.pdf", "file_data": PNG}},
    "file by its id": {"type": "file", "file": {"file_id": "file-abc"}},
}


@pytest.mark.parametrize("medium", MEDIA.values(), ids=MEDIA)
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_medium_counts_as_one_whatever_its_bytes(
    medium: dict[str, object], escaped: bool, indent: int | None
) -> None:
    def size(*parts: object) -> PromptSize:
        said = {"model": "llm", "messages": [{"role": "user", "content": [*parts]}] * 2}
        body = json.dumps(said, indent=indent)
        return read((body.replace("/", "\\/") if escaped else body).encode()).prompt

    text = {"type": "text", "text": "What is_this?"}
    plain = size(text)
    assert size(text, medium).media == 2
    assert size(text, medium, medium).media == 4
    assert 0 < size(text, medium).text_bytes - plain.text_bytes < 400
    assert size(text, medium).messages == 2


HIDDEN = '"image_url":{"url":"data:image/png;base64,' + "A" * 5000 + '"}'


@pytest.mark.parametrize(
    "content",
    [
        HIDDEN,
        "data:image/png;base64," + "A" * 5000,
        [{"type": "text", "text": HIDDEN}],
        [{"type": "text", "text": f"\\{HIDDEN}"}],
        [{"type": "text", "text": "image_url"}, {"type": "text", "text": '":"' + "A" * 5000}],
        {"type": "image_url", "image_url": {"url": "A" * 5000}},
    ],
)
def test_text_that_looks_like_a_medium_is_text(content: object) -> None:
    size = call(messages=[{"role": "user", "content": content}]).prompt
    assert size.media == 0
    assert size.text_bytes > 5000


@pytest.mark.parametrize(
    "said", ["hi", 7, [7], [[]], {"role": "user"}, [{"role": "user"}], [None], "[_[", []]
)
def test_messages_that_are_none_are_the_providers_matter(said: object) -> None:
    assert call(messages=said).prompt.media == 0
    assert call(messages=said).prompt.text_bytes == len(msgspec.json.encode(said))
