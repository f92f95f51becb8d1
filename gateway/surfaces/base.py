"""What clients speak at one address and providers at the same: how to read, judge and follow it."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.answers import StreamState, Verdict
from gateway.calls import Reading
from gateway.framing import Framing

type Watch = Callable[[StreamState, bytes], tuple[StreamState, bool]]


@dataclass(frozen=True, slots=True)
class Surface:
    """One endpoint, such as "chat/completions", as its client sees it and as a provider serves it.

    `judge`: of a whole answer with status 200, whether it is one. `weigh`: its tokens where the provider did
    not count them. `watch`: the state of a stream after the data of one more event, and whether that is only
    for those who asked for usage; None: its answers are no streams. `cap`: the parameter that bounds the
    output; "": as the deployment has it. `binary`: an answer may be no JSON and then passes as it
    comes; `opaque`: whatever it is. `may_be_whole`: a provider may answer in one
    piece although a stream was asked for; `may_be_empty`: an answer without a byte is one.
    """

    name: str
    reading: Reading
    judge: Callable[[bytes], Verdict]
    weigh: Callable[[bytes], int]
    framing: Framing
    watch: Watch | None = None
    cap: str = ""
    binary: bool = False
    opaque: bool = False
    may_be_whole: bool = False
    may_be_empty: bool = False
