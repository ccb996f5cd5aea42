"""What a candidate of a job that shrinks and grows sees of the run."""

from typing import Protocol


class Surroundings(Protocol):
    """What a candidate sees of the run. Called once a second; none of it may take long."""

    def look(self) -> None:
        """Gives a pulse. Raises PreemptedError if a stop was asked for."""

    def addresses(self, before: tuple[str, ...]) -> tuple[str, ...]:
        """The candidates' addresses, of which some were known before; '' for one that is not known yet."""

    def is_finished(self) -> bool:
        """Whether the run is finished, and nothing is left to do."""

    def expected(self) -> set[int]:
        """The candidates that the run waits for, as `is_finished` last found it."""

    def has_record(self) -> bool:
        """Whether the run directory holds the run."""

    def owner(self) -> str:
        """The mark of the run directory's owner; '' if there is none."""

    def patience(self) -> float:
        """Seconds for which it waits for those that are missing, as `is_finished` last found it."""

    def obstacle(self) -> str:
        """Why this process cannot own the run directory now; '' if it can."""

    def claim(self) -> str:
        """Makes this process the owner of the run directory; why it cannot be, or ''. May take some seconds."""
