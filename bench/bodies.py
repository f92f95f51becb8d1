"""How long the gateway looks at large bodies, beside `json.loads` of the same: `python -m bench.bodies`."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gateway import calls

_ROUNDS = 5


def _user(content: object) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}]}


def _tool(number: int) -> dict[str, Any]:
    described = {"type": "string", "description": "x" * 500}
    parameters = {"type": "object", "properties": {"a": described}}
    return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters}}


BODIES: dict[str, Any] = {
    "a picture of 15 MB": _user(
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 5_000_000}}]
    ),
    "20 MB of text": _user('word \n "q" ' * 1_400_000),
    "20 MB of digits": _user("1234567890" * 2_000_000),
    "20 MB of escaped emoji": _user("gr\u00fc\u00df \U0001f600" * 700_000),
    "1,000 messages": {"model": "m", "messages": [{"role": "user", "content": "hello world " * 50}] * 1000},
    "200 tools": {"model": "m", "messages": [], "tools": [_tool(number) for number in range(200)]},
    "4,000,000 token ids": {"model": "m", "input": [[1234] * 1000] * 4000},
    "600,000 small messages": {"model": "m", "messages": [{"role": "user", "content": "a"}] * 600_000},
}


def _best(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest round."""
    found = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found) * 1000


def main() -> None:
    print(f"{'body':26}{'MB':>7}{'json.loads':>12}{'read':>9}{'rewrite':>9}  read / json.loads")
    for name, value in BODIES.items():
        body = json.dumps(value).encode()
        call = calls.read(body)
        loads = _best(partial(json.loads, body))
        read = _best(partial(calls.read, body))
        rewrite = _best(partial(calls.rewrite, call, {"model": b'"x"'}))
        row = f"{name:26}{len(body) / 1e6:7.1f}{loads:12.1f}{read:9.1f}{rewrite:9.1f}"
        print(f"{row}  {read / loads:.2f}")


if __name__ == "__main__":
    main()
