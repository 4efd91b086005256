"""How often and how patiently a temporary failure is tried again: bounded, with jitter, heeding Retry-After."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from fhirbridge.errors import TemporaryHospitalError

Answered = TypeVar("Answered")


class PauseEnded(Exception):
    """Raised by a sleep that was ended before its time: the call is not tried again."""


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

    def call(
        self,
        attempt: Callable[[], Answered],
        sleep: Callable[[float], None],
        noted: Callable[[BaseException], None],
        *,
        first: bool = False,
    ) -> Answered:
        """Try until it succeeds, the tries are used up or ``sleep`` raises PauseEnded; raise the last failure then.

        ``noted`` is called with the failure before each pause.
        """
        attempts = min(self.attempts, self.attempts_at_first_contact) if first else self.attempts
        failures: list[BaseException] = []

        def failed(state: RetryCallState) -> None:
            if state.outcome and (error := state.outcome.exception()):
                failures[:] = [error]
                noted(error)

        policy = Retrying(
            retry=retry_if_exception_type(TemporaryHospitalError),
            stop=lambda state: state.attempt_number >= attempts or _asked_for(state) > self.longest,
            wait=self._pause,
            sleep=sleep,
            before_sleep=failed,
            reraise=True,
        )
        try:
            return policy(attempt)
        except PauseEnded:
            raise failures[0] from None

    def _pause(self, state: RetryCallState) -> float:
        doubling = wait_exponential(multiplier=self.first, max=self.longest)(state)
        return max(doubling, _asked_for(state)) + wait_random(0, self.jitter)(state)


def sleep_unless(stop: threading.Event, sleep: Callable[[float], None] = time.sleep) -> Callable[[float], None]:
    """Return a sleep that ends at once when ``stop`` is set, before or meanwhile, by raising PauseEnded.

    Any ``sleep`` other than time's own is kept as it is, and the event looked at after it.
    """

    def pause(seconds: float) -> None:
        if sleep is time.sleep:
            stop.wait(seconds)
        elif not stop.is_set():
            sleep(seconds)
        if stop.is_set():
            raise PauseEnded

    return pause


def _asked_for(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TemporaryHospitalError) else None
    return asked or 0.0
