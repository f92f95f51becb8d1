"""How times and sums of money are written for people."""


def duration(milliseconds: float | None) -> str:
    """`340 ms`, `2.1 s`, or a dash when it was not measured."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def dollars(nano: int, priced: bool = True) -> str:
    """Nano-dollars as dollars, with as many digits as small sums need."""
    if not priced:
        return "-"
    return f"${nano / 1e9:,.2f}" if nano >= 10**9 or not nano else f"${nano / 1e9:.6f}".rstrip("0")
