"""What one client may ask for, over HTTP: the rest is 429 in FHIR, with when to come again."""

from __future__ import annotations

from tests.api.registry.conftest import Serve
from tests.api.registry.serving import refusal


def test_a_client_that_asks_too_often_is_told_when_to_come_again_and_others_go_on(serve: Serve) -> None:
    registry = serve(api_requests_per_minute=3)
    assert [registry.ask("Patient?_count=1").status_code for _ in range(3)] == [200, 200, 200]
    answer = registry.ask("Patient?_count=1")
    assert refusal(answer) == (429, "throttled")
    assert int(answer.headers["Retry-After"]) == 20
    assert registry.ask("Patient?_count=1", client="c2").status_code == 200
    assert registry.recorded[-2].status == 429
    registry.clock.turn(20)
    assert registry.ask("Patient?_count=1").status_code == 200


def test_who_knocks_without_a_token_again_and_again_is_left_standing(serve: Serve) -> None:
    registry = serve()
    answers = [registry.ask("Patient", client=None).status_code for _ in range(301)]
    assert set(answers[:300]) == {401}
    assert answers[300] == 429
    registry.clock.turn(61)
    assert registry.ask("Patient").status_code == 200


def test_costly_answers_of_a_client_that_are_not_fetched_to_their_end_keep_their_place(serve: Serve) -> None:
    registry = serve(api_costly=1)
    path = "ViewDefinition/laboratory/$viewdefinition-run"
    open_ = registry.ask(path, buffered=False)
    assert refusal(registry.ask(path)) == (429, "throttled")
    assert registry.ask(path, client="c2").status_code == 200
    open_.close()
    assert registry.ask(path).status_code == 200
