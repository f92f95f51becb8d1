"""What the other wire cannot say: refused with the field's name, or left out where the operator allows it."""

from dataclasses import dataclass

from providers.translation import Untranslatable


@dataclass(frozen=True, slots=True)
class Refusals:
    """How one request is translated. `wire` is how people call the other side; `left_out` gets what was."""

    wire: str
    drop: bool
    left_out: list[str]

    def refuse(self, param: str, why: str = "") -> None:
        """Raise `Untranslatable`, or return when this is to be left out."""
        if not self.drop:
            raise self.unsayable(param, why)
        self.leave_out(param, why or f"{self.wire} has no such parameter.")

    def leave_out(self, param: str, why: str) -> None:
        """Only say so to the operator."""
        self.left_out.append(f"{param}: {why}")

    def unsayable(self, param: str, why: str = "") -> Untranslatable:
        """To raise even with `drop`: content that somebody gave is never left out silently."""
        reason = why or f"The provider of this model speaks {self.wire}, which has no such parameter."
        return Untranslatable(f"'{param}' cannot be used here. {reason}", param)
