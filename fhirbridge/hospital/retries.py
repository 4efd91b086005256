"""How often and how patiently a temporary failure is tried again: bounded, with jitter, heeding Retry-After."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from fhirbridge.errors import TemporaryHospitalError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """At most ``attempts`` tries; pauses double from ``first`` seconds up to ``longest``, plus up to ``jitter``.

    A server that asks by Retry-After for more than ``longest`` seconds is not waited for: the error is raised with
    its ``retry_after``, and the caller decides what to do meanwhile. First contact has fewer tries, because somebody
    with a mistyped address may be waiting.
    """

    attempts: int = 6
    attempts_at_first_contact: int = 3
    first: float = 0.5
    longest: float = 30.0
    jitter: float = 0.5

    def policy(self, sleep: Callable[[float], None], noted: Callable[[], None], *, first: bool = False) -> Retrying:
        """Return a tenacity policy for one call; ``noted`` is called before each pause."""
        attempts = min(self.attempts, self.attempts_at_first_contact) if first else self.attempts
        return Retrying(
            retry=retry_if_exception_type(TemporaryHospitalError),
            stop=lambda state: state.attempt_number >= attempts or _asked_for(state) > self.longest,
            wait=self._pause,
            sleep=sleep,
            before_sleep=lambda _state: noted(),
            reraise=True,
        )

    def _pause(self, state: RetryCallState) -> float:
        doubling = wait_exponential(multiplier=self.first, max=self.longest)(state)
        return max(doubling, _asked_for(state)) + wait_random(0, self.jitter)(state)


def _asked_for(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TemporaryHospitalError) else None
    return asked or 0.0
