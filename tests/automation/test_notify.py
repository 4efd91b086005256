"""Notifications: told on change and as a reminder, across restarts, and never at the cost of the run."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from fhirbridge import settings
from fhirbridge.automation import channels, logs
from fhirbridge.automation.channels import ATTEMPTS, SIGNATURE, Mail, Webhook
from fhirbridge.automation.metrics import Metrics
from fhirbridge.automation.notify import Channel, NotDelivered, Notice, Notifier
from fhirbridge.automation.runs import Watch
from fhirbridge.errors import ConfigurationError, FatalHospitalError, StoreError
from fhirbridge.store import Store
from tests.automation.webhook import Hook
from tests.automation.webhook import hook as hook
from tests.hospital.secured import Authority, private

NOTICE = Notice(
    event="run_failed",
    command="push",
    run="20261122T144924Z-3fa9c1d2",
    study="s1",
    server="https://fhir.test/r4",
    outcome="incomplete",
    at="2026-11-22T15:00:00.000Z",
    since="2026-11-22T15:00:00.000Z",
    counts={"sent": 3, "failed": 1},
    message="push of s1 failed (outcome: incomplete).",
)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}", clock=clock) as opened:
        yield opened


class Installation:
    """Runs a command, each time as a new process would: with a notifier that remembers nothing."""

    def __init__(self, store: Store, hook: Hook, clock: Clock) -> None:
        self.store, self.hook, self.clock = store, hook, clock
        self.more: list[Channel] = []
        self.metrics = Metrics()

    def notifier(self) -> Notifier:
        first = Webhook(self.hook.url, sleep=lambda _: None)
        return Notifier([first, *self.more], clock=self.clock, counted=self.metrics.notified)

    def run(self, outcome: str, command: str = "push", **counts: Any) -> None:
        self.clock.now += timedelta(minutes=5)
        with Watch(store=self.store, command=command, study="s1", notifier=self.notifier()).run() as run:
            run.end(outcome, counts)


@pytest.fixture
def installed(store: Store, hook: Hook, clock: Clock) -> Installation:
    return Installation(store, hook, clock)


def test_a_failure_is_told_once_and_its_end_once_across_restarts(installed: Installation) -> None:
    for outcome in ("done", "incomplete", "failed", "incomplete", "done", "done"):
        installed.run(outcome)
    assert installed.hook.events == ["run_failed", "run_recovered"]
    installed.run("failed")
    assert installed.hook.events[2:] == ["run_failed"]


def test_a_failure_that_lasts_is_told_again_after_a_day(installed: Installation) -> None:
    for _ in range(14):
        installed.clock.now += timedelta(hours=1, minutes=55)
        installed.run("incomplete")
    assert installed.hook.events == ["run_failed", "run_still_failing"]
    first, again = (json.loads(body) for _, body in installed.hook.posted)
    assert again["since"] == first["since"] == "2026-11-22T17:00:00.000Z"


def test_what_needs_a_decision_does_not_hide_that_the_server_fails_later(installed: Installation) -> None:
    stuck = "needs a person"
    for outcome in (stuck, stuck, "incomplete", "failed", stuck, stuck, "done", "done"):
        installed.run(outcome)
    assert installed.hook.events == ["run_needs_a_person", "run_failed", "run_needs_a_person", "run_recovered"]


def test_the_end_is_told_also_if_the_last_change_before_it_reached_nobody(installed: Installation) -> None:
    installed.run("needs a person")
    installed.hook.answers = [500] * ATTEMPTS
    installed.run("failed")
    installed.run("done")
    assert installed.hook.events[1 + ATTEMPTS :] == ["run_recovered"]


def test_a_failure_that_nobody_could_be_told_of_has_no_end_to_tell(installed: Installation) -> None:
    installed.hook.answers = [500] * ATTEMPTS
    installed.run("failed")
    installed.run("done")
    assert len(installed.hook.posted) == ATTEMPTS


def test_each_command_has_a_state_of_its_own(installed: Installation) -> None:
    installed.run("failed", "push")
    installed.run("done", "ingest")
    installed.run("failed", "reconcile")
    installed.run("done", "push")
    told = [
        (json.loads(body)["command"], event)
        for (_, body), event in zip(installed.hook.posted, installed.hook.events, strict=True)
    ]
    assert told == [("push", "run_failed"), ("reconcile", "run_failed"), ("push", "run_recovered")]


@pytest.mark.parametrize("outcome", ["refused", "interrupted"])
def test_refused_records_and_a_stop_by_hand_are_no_failure(installed: Installation, outcome: str) -> None:
    installed.run(outcome)
    assert installed.hook.events == []


def test_a_stop_by_hand_or_a_kill_between_failure_and_recovery_changes_nothing(installed: Installation) -> None:
    installed.run("failed")
    installed.run("interrupted")
    installed.store.start_run("push")
    installed.run("failed")
    installed.run("done")
    assert installed.hook.events == ["run_failed", "run_recovered"]


def test_what_could_not_be_delivered_is_due_again_with_the_next_run(installed: Installation, tmp_path: Path) -> None:
    installed.hook.answers = [500] * ATTEMPTS
    log = tmp_path / "log"
    with logs.written(form="json", file=log):
        installed.run("failed")
    assert len(installed.hook.posted) == ATTEMPTS
    line = next(json.loads(one) for one in log.read_text().splitlines() if "notification_failed" in one)
    assert (line["channel"], line["message"]) == ("webhook", "the webhook at 127.0.0.1 answered 500.")
    assert "secret-part" not in log.read_text()
    installed.run("failed")
    installed.run("failed")
    assert installed.hook.events[ATTEMPTS:] == ["run_failed"]
    counted = installed.metrics.registry.get_sample_value
    named = {"channel": "webhook"}
    assert counted("fhirbridge_notifications_total", named | {"result": "failed"}) == 1
    assert counted("fhirbridge_notifications_total", named | {"result": "delivered"}) == 1


def test_a_recovery_that_could_not_be_delivered_is_told_later(installed: Installation) -> None:
    installed.run("failed")
    installed.hook.answers = [500] * ATTEMPTS
    installed.run("done")
    installed.run("done")
    installed.run("done")
    assert installed.hook.events[1 + ATTEMPTS :] == ["run_recovered"]


def test_a_notification_never_fails_the_run_nor_changes_what_is_kept_of_it(installed: Installation) -> None:
    installed.hook.answers = [404]
    installed.run("incomplete", sent=5, failed=1)
    kept = installed.store.last_run("push")
    assert kept is not None
    assert kept.outcome == "incomplete"
    assert kept.counts is not None
    assert (kept.counts["sent"], kept.counts["failed"]) == (5, 1)
    installed.run("done", sent=1)
    kept = installed.store.last_run("push")
    assert kept is not None
    assert kept.counts == {"sent": 1}


def test_one_channel_that_works_is_enough(installed: Installation) -> None:
    installed.more = [Mail(host="127.0.0.1", port=9, sender="a@x", to=["b@x"], security="none", sleep=lambda _: None)]
    installed.run("failed")
    installed.run("failed")
    assert installed.hook.events == ["run_failed"]


def test_an_error_that_ends_a_run_is_told_without_what_the_server_said(installed: Installation) -> None:
    error = FatalHospitalError("Patient Müllerová is wrong", status=422, outcome={"resourceType": "OperationOutcome"})
    watch = Watch(store=installed.store, command="push", study="s1", notifier=installed.notifier())
    with pytest.raises(FatalHospitalError), watch.run():
        raise error
    kept = installed.store.last_run("push")
    assert kept is not None
    assert kept.outcome == "failed"
    [(_, body)] = installed.hook.posted
    assert json.loads(body)["outcome"] == "failed"
    assert "Müllerová" not in body.decode()


def test_only_numbers_of_a_report_are_told(installed: Installation) -> None:
    installed.run("incomplete", sent=5, failures=[{"message": "Müllerová"}], server="x", complete=False)
    [(_, body)] = installed.hook.posted
    assert json.loads(body)["counts"] == {"sent": 5}
    assert "Müllerová" not in body.decode()


def test_the_loss_of_the_database_is_told_once_by_a_process_that_lives_on(
    installed: Installation, clock: Clock
) -> None:
    class Lost(Store):
        def start_run(self, command: str) -> str:
            raise StoreError("the database cannot be reached.")

    lost, notifier = Lost(installed.store._engine), installed.notifier()
    for _ in range(3):
        with pytest.raises(StoreError), Watch(store=lost, command="push", study="s1", notifier=notifier).run():
            pass
    assert installed.hook.events == ["run_failed"]
    assert "the database cannot be reached." in json.loads(installed.hook.posted[0][1])["message"]
    clock.now += timedelta(minutes=5)
    with Watch(store=installed.store, command="push", study="s1", notifier=notifier).run() as run:
        run.end("done", {})
    assert installed.hook.events == ["run_failed", "run_recovered"]


def test_a_webhook_gets_json_signed_with_the_secret(hook: Hook) -> None:
    Webhook(hook.url, secret=b"key").send(NOTICE)
    [(headers, body)] = hook.posted
    assert headers["Content-Type"] == "application/json"
    assert headers[SIGNATURE] == "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert json.loads(body) == NOTICE.as_dict()


def test_without_a_secret_nothing_is_signed(hook: Hook) -> None:
    Webhook(hook.url).send(NOTICE)
    assert SIGNATURE not in hook.posted[0][0]


def test_a_webhook_that_is_busy_is_tried_again_and_one_that_refuses_is_not(hook: Hook) -> None:
    pauses: list[float] = []
    hook.answers = [503, 429]
    Webhook(hook.url, sleep=pauses.append).send(NOTICE)
    assert (len(hook.posted), len(pauses)) == (3, 2)
    hook.answers = [403]
    with pytest.raises(NotDelivered, match="403"):
        Webhook(hook.url, sleep=pauses.append).send(NOTICE)
    assert len(hook.posted) == 4


def test_a_webhook_that_is_not_there_is_told_by_its_host_alone(hook: Hook) -> None:
    hook.close()
    with pytest.raises(NotDelivered) as error:
        Webhook(hook.url, sleep=lambda _: None).send(NOTICE)
    assert "127.0.0.1" in str(error.value)
    assert "secret-part" not in str(error.value)


class Post:
    """A mail server that works until a test breaks it: ``refuse`` maps a recipient to the answer it gets."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.recipients: list[list[str]] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.refuse: dict[str, str] = {}
        self.busy = 0

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.busy:
            self.busy -= 1
            return "451 later"
        self.got.append(message_from_bytes(envelope.content))
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"

    def authenticated(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"hunter2", handled=False)


class Listening:
    """Mail servers of this test on the loopback, each stopped at its end."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.started: list[Controller] = []

    def __call__(self, post: Post, *, starttls: bool = False, tls: bool = False, login: bool = False) -> int:
        """Start one and return its port."""
        context = None
        if starttls or tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self.authority.certificate("mail"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        options: dict[str, Any] = {}
        if login:
            options = {"authenticator": post.authenticated, "auth_required": True, "auth_require_tls": starttls}
        server = Controller(
            post,
            hostname="127.0.0.1",
            port=port,
            ssl_context=context if tls else None,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            **options,
        )
        server.start()
        self.started.append(server)
        return port

    def client(self, port: int, **more: Any) -> Mail:
        """Return the channel that mails through one of them."""
        given = {"security": "none", "ca": self.authority.file, "to": ["fhir@hospital.test"], "sleep": lambda _: None}
        return Mail(host="127.0.0.1", port=port, sender="bridge@hospital.test", **{**given, **more})


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    made = Listening(Authority(tmp_path))
    yield made
    for server in made.started:
        server.stop()


def test_a_mail_says_what_happened_in_its_subject_and_in_its_text(listening: Listening) -> None:
    post = Post()
    listening.client(listening(post), to=["a@hospital.test", "b@hospital.test"]).send(NOTICE)
    [mail] = post.got
    assert mail["Subject"] == "[fhirbridge] push of s1 failed"
    assert post.recipients == [["a@hospital.test", "b@hospital.test"]]
    text = mail.get_payload()
    assert isinstance(text, str)
    assert NOTICE.message in text
    assert NOTICE.run in text
    assert "failed:  1" in text


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd does not count TLS from the first byte as TLS
@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_mail_goes_over_tls_with_a_login(listening: Listening, security: str) -> None:
    post = Post()
    port = listening(post, starttls=security == "starttls", tls=security == "ssl", login=True)
    listening.client(port, security=security, login=("bridge", "hunter2")).send(NOTICE)
    assert len(post.got) == 1
    assert post.logins == [(b"bridge", b"hunter2")]


def test_a_mail_server_whose_certificate_is_not_trusted_gets_no_password(listening: Listening, tmp_path: Path) -> None:
    post, other = Post(), Authority(tmp_path, "other")
    port = listening(post, starttls=True, login=True)
    with pytest.raises(NotDelivered, match="trusted") as error:
        listening.client(port, security="starttls", ca=other.file, login=("bridge", "hunter2")).send(NOTICE)
    assert not error.value.temporary
    assert (post.logins, post.got) == ([], [])


def test_a_mail_server_without_starttls_gets_nothing(listening: Listening) -> None:
    post = Post()
    with pytest.raises(NotDelivered, match="notify_mail_security"):
        listening.client(listening(post), security="starttls").send(NOTICE)
    assert post.got == []


def test_a_wrong_password_is_told_by_its_code(listening: Listening) -> None:
    port = listening(Post(), starttls=True, login=True)
    with pytest.raises(NotDelivered, match="535") as error:
        listening.client(port, security="starttls", login=("bridge", "wrong")).send(NOTICE)
    assert "wrong" not in str(error.value)


def test_a_mail_server_that_is_busy_is_tried_again(listening: Listening) -> None:
    post = Post()
    post.busy = 2
    listening.client(listening(post)).send(NOTICE)
    assert len(post.got) == 1


def test_a_refused_recipient_does_not_make_the_others_get_it_twice(
    installed: Installation, listening: Listening
) -> None:
    post = Post()
    post.refuse = {"gone@hospital.test": "550 no such user"}
    installed.hook.close()
    installed.more = [listening.client(listening(post), to=["here@hospital.test", "gone@hospital.test"])]
    installed.run("failed")
    installed.run("failed")
    assert post.recipients == [["here@hospital.test"]]


def test_a_mail_that_all_recipients_refuse_is_not_delivered(listening: Listening) -> None:
    post = Post()
    post.refuse = {"fhir@hospital.test": "550 no such user"}
    with pytest.raises(NotDelivered, match="550"):
        listening.client(listening(post)).send(NOTICE)


@pytest.fixture
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FHIRBRIDGE_CONFIG", raising=False)


@pytest.mark.usefixtures("_elsewhere")
def test_channels_are_made_from_the_settings(tmp_path: Path, hook: Hook) -> None:
    private(tmp_path / "key", b"key\n")
    private(tmp_path / "login", b"bridge\nhunter2\n")
    chosen = settings.read(
        notify_webhook=hook.url,
        notify_webhook_secret=tmp_path / "key",
        notify_mail_to=("a@x",),
        notify_mail_login=tmp_path / "login",
    )
    assert "secret-part" not in repr(chosen)
    webhook, mail = channels.from_settings(chosen)
    webhook.send(NOTICE)
    assert hook.posted[0][0][SIGNATURE].startswith("sha256=")
    assert isinstance(mail, Mail)
    assert (mail.login, mail.security, mail.port) == (("bridge", "hunter2"), "starttls", 587)
    assert channels.from_settings(settings.read()) == ()


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"notify_webhook": "hunter2"}, "notify_webhook"),
        ({"notify_webhook": "http://x", "notify_webhook_secret": "none"}, "notify_webhook_secret"),
        ({"notify_webhook": "http://x", "notify_webhook_secret": "empty"}, "empty"),
        ({"notify_webhook": "http://x", "notify_webhook_secret": "open"}, "chmod"),
        ({"notify_mail_to": ("a@x",), "notify_mail_login": "oneline"}, "two lines"),
        ({"notify_mail_to": ("a@x",), "notify_mail_login": "oneline", "notify_mail_security": "none"}, "in the clear"),
        ({"notify_webhook": "http://x", "notify_ca": "none"}, "notify_ca"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_a_channel_that_cannot_work_is_an_error_of_configuration(given: dict[str, Any], said: str) -> None:
    private(Path("empty"), b"\n")
    private(Path("oneline"), b"hunter2")
    private(Path("open"), b"hunter2").chmod(0o644)
    with pytest.raises(ConfigurationError, match=said) as error:
        channels.from_settings(settings.read(**given))
    assert "hunter2" not in str(error.value)
