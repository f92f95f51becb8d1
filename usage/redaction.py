"""Taking personal data and secrets out of texts, by regular expressions that an operator wrote.

A search by `re` holds the interpreter until it ends, in whichever thread: one bad expression would stand
still every request of the worker. So it runs in a child process, which the kernel ends when its time is up.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence

LONGEST_PATTERN = 500
WITHHELD = "[withheld: redaction took too long]"
_TRIAL_SECONDS = 0.5
_AWKWARD, _AWKWARD_UNITS = 20_000, ("a", "1", "a1", "a.", "a@", " ", "-1 ", "\n")
# A whole string of JSON, one that was cut off, or a number.
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*+"|"(?:[^"\\]|\\.)*+|-?\d[\d.eE+-]*+', re.DOTALL)

type Rule = tuple[str, str]


class TooSlow(Exception):
    """The rules did not come to an end in the time given."""


def problem(pattern: str) -> str:
    """Why this pattern cannot be a rule, or "". Tries it on awkward texts, for half a second at most."""
    if not pattern or len(pattern) > LONGEST_PATTERN:
        return f"A pattern has 1 to {LONGEST_PATTERN} characters."
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"This is no regular expression: {error}."
    if compiled.search(""):
        return "This matches where there is nothing, so it would be everywhere."
    texts = [unit * (_AWKWARD // len(unit)) + "\n!" for unit in _AWKWARD_UNITS]
    try:
        apart(texts, [(pattern, "")], _TRIAL_SECONDS)
    except TooSlow:
        return "This takes too long on some texts. Bound what repeats, such as {1,64} in place of +."
    return ""


def apart(texts: Sequence[str], rules: Sequence[Rule], seconds: float) -> list[str]:
    """The texts redacted in a process of its own. Raises `TooSlow`, and OSError when none can be started."""
    told = json.dumps({"texts": list(texts), "rules": list(rules), "seconds": seconds})
    try:
        done = subprocess.run(  # noqa: S603  our own file
            [sys.executable, "-I", "-S", __file__],
            input=told.encode(),
            stdout=subprocess.PIPE,
            timeout=seconds + 5,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TooSlow from None
    if done.returncode == -signal.SIGVTALRM:
        raise TooSlow
    if done.returncode:
        raise OSError(f"redaction ended with {done.returncode}")
    redacted: list[str] = json.loads(done.stdout)
    return redacted


def redact(text: str, rules: Sequence[tuple[re.Pattern[str], str]]) -> str:
    """The text without what the rules match. In JSON they see values as they are meant, not their escapes."""

    def plain(value: str) -> str:
        for pattern, replacement in rules:
            value = pattern.sub(replacement.replace("\\", "\\\\"), value)
        return value

    def in_json(found: re.Match[str]) -> str:
        raw = found.group()
        value = _meant(raw)
        redacted = plain(value)
        if redacted == value:
            return raw
        return json.dumps(redacted, ensure_ascii=False)

    if text.lstrip()[:1] not in ("{", "["):
        return plain(text)
    return _VALUE.sub(in_json, text)


def _meant(raw: str) -> str:
    """What a JSON string says, also one that was cut off, in an escape even; of a number its text."""
    if not raw.startswith('"'):
        return raw
    for cut in range(13):  # the longest escape is a pair of surrogates
        body = raw if not cut and raw[1:].endswith('"') else raw[: len(raw) - cut] + '"'
        try:
            return str(json.loads(body, strict=False))
        except ValueError:
            continue
    return raw


def _main() -> None:
    told = json.load(sys.stdin)
    # of CPU time; the signal's default is the end of the process, in mid-search too
    signal.setitimer(signal.ITIMER_VIRTUAL, told["seconds"])
    rules = [(re.compile(pattern), replacement) for pattern, replacement in told["rules"]]
    json.dump([redact(text, rules) for text in told["texts"]], sys.stdout)


if __name__ == "__main__":
    _main()
