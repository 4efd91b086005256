"""Whom we trust, how we show who we are, and the way through a proxy: against real TLS servers and a real proxy."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sekmet.config import ServerAuth

from fhirbridge import settings
from fhirbridge.errors import FatalHospitalError, TemporaryHospitalError
from fhirbridge.hospital import Hospital, Retries
from fhirbridge.hospital.access import access
from tests.hospital.secured import (
    NAME,
    SECRET,
    Authority,
    closed_port,
    private,
    running_proxy,
    secured_hospital,
    strict_hospital,
    tls_files,
)

OPEN = ServerAuth(types=["none"])

Connect = Callable[..., Hospital]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    opened: list[Hospital] = []

    def open_hospital(base_url: str, **given: object) -> Hospital:
        granted = access(settings.read(hospital=base_url, **given))
        opened.append(
            Hospital(
                base_url,
                auth=granted.auth,
                tls=granted.tls,
                proxy=granted.proxy,
                retries=Retries(attempts=2),
                sleep=lambda _seconds: None,
            )
        )
        return opened[-1]

    yield open_hospital
    for one in opened:
        one.close()


@pytest.fixture
def private_server(tmp_path: Path, authority: Authority) -> Iterator[str]:
    """A server whose certificate only our own authority vouches for."""
    files = tls_files(authority.certificate("server"))
    with secured_hospital(tmp_path, OPEN, scheme="https", **files) as running:
        yield running.base_url


def test_a_private_authority_is_trusted_where_it_is_named(
    private_server: str, authority: Authority, connect: Connect
) -> None:
    assert connect(private_server, hospital_ca=authority.file).capabilities().fhir_version == "4.0.1"


def test_without_it_the_server_is_not_trusted_and_nothing_is_repeated(private_server: str, connect: Connect) -> None:
    client = connect(private_server)
    with pytest.raises(FatalHospitalError, match="hospital_ca"):
        client.capabilities()
    assert client.traffic.report().requests == 1


def test_another_authority_of_the_same_name_is_not_trusted(
    private_server: str, tmp_path: Path, connect: Connect
) -> None:
    (tmp_path / "other").mkdir()
    client = connect(private_server, hospital_ca=Authority(tmp_path / "other").file)
    with pytest.raises(FatalHospitalError, match=r"that can be trusted .*hospital_ca"):
        client.capabilities()


def test_a_private_authority_stands_instead_of_the_usual_ones(
    private_server: str, authority: Authority, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    assert connect(private_server).capabilities().fhir_version == "4.0.1"
    with pytest.raises(FatalHospitalError, match="hospital_ca"):
        connect(private_server, hospital_ca=Authority(tmp_path / "other").file).capabilities()


def test_a_certificate_for_another_name_is_not_trusted(
    private_server: str, authority: Authority, connect: Connect
) -> None:
    client = connect(private_server.replace("127.0.0.1", "localhost"), hospital_ca=authority.file)
    with pytest.raises(FatalHospitalError, match="localhost"):
        client.capabilities()


def test_http_where_the_server_speaks_tls_and_the_reverse_are_told(
    private_server: str, authority: Authority, hospital: str, connect: Connect
) -> None:
    with pytest.raises(FatalHospitalError, match="begin with http"):
        connect(hospital.replace("http:", "https:"), hospital_ca=authority.file).capabilities()
    with pytest.raises(TemporaryHospitalError, match="connection to http://127"):
        connect(private_server.replace("https:", "http:")).capabilities()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda one: one.name)
def test_a_server_that_wants_a_certificate_of_ours_gets_it(
    tmp_path: Path, authority: Authority, connect: Connect, version: ssl.TLSVersion
) -> None:
    certificate, key = authority.certificate("us")
    both = private(tmp_path / "both.pem", certificate.read_bytes() + key.read_bytes())
    with strict_hospital(authority, version) as url:
        for files in (
            {"hospital_certificate": certificate, "hospital_certificate_key": key},
            {"hospital_certificate": both},
        ):
            client = connect(url, hospital_ca=authority.file, **files)
            assert client.capabilities().fhir_version == "4.0.1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda one: one.name)
def test_without_a_certificate_or_with_that_of_a_stranger_we_are_told_which_setting_it_is(
    tmp_path: Path, authority: Authority, connect: Connect, version: ssl.TLSVersion
) -> None:
    (tmp_path / "other").mkdir()
    certificate, key = Authority(tmp_path / "other", "stranger").certificate("us")
    strange = {"hospital_certificate": certificate, "hospital_certificate_key": key}
    with strict_hospital(authority, version) as url:
        for files in ({}, strange):
            client = connect(url, hospital_ca=authority.file, **files)
            with pytest.raises(FatalHospitalError, match="hospital_certificate_key"):
                client.capabilities()


def test_a_server_that_speaks_only_tls_1_1_is_refused(authority: Authority, connect: Connect) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate("server"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        connection.close()
        except OSError:
            return

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        client = connect(f"https://127.0.0.1:{listener.getsockname()[1]}/fhir", hospital_ca=authority.file)
        with pytest.raises(FatalHospitalError, match=r"TLS 1\.2 or later"):
            client.capabilities()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


@pytest.mark.parametrize("said_by", ["setting", "environment"])
def test_a_proxy_is_used_for_http(
    hospital: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, said_by: str
) -> None:
    with running_proxy(hospital) as proxy:
        given = {"hospital_proxy": proxy.url} if said_by == "setting" else {}
        if said_by == "environment":
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("http_proxy", proxy.url)
        assert connect(f"http://{NAME}/fhir", **given).capabilities().fhir_version == "4.0.1"
        assert proxy.asked == [("GET", f"http://{NAME}/fhir/metadata")]


def test_through_a_proxy_tls_reaches_to_the_hospital(
    private_server: str, authority: Authority, connect: Connect
) -> None:
    with running_proxy(private_server, password=SECRET) as proxy:
        url = proxy.url.replace("//", f"//us:{SECRET}@")
        client = connect(f"https://{NAME}/fhir", hospital_proxy=url, hospital_ca=authority.file)
        assert client.capabilities().fhir_version == "4.0.1"
        client.close()
        assert proxy.asked == [("CONNECT", f"{NAME}:443")]
        with pytest.raises(FatalHospitalError, match="hospital_ca"):
            connect(f"https://{NAME}/fhir", hospital_proxy=url).capabilities()


def test_a_proxy_that_does_not_let_us_through_is_told_without_its_password(
    private_server: str, authority: Authority, connect: Connect
) -> None:
    with running_proxy(private_server, password="another") as proxy:
        url = proxy.url.replace("//", f"//us:{SECRET}@")
        client = connect(f"https://{NAME}/fhir", hospital_proxy=url, hospital_ca=authority.file)
        with pytest.raises(FatalHospitalError, match=r"407.*hospital_proxy") as caught:
            client.capabilities()
    assert SECRET not in str(caught.value)
    assert len(proxy.asked) == 1


def test_a_proxy_that_is_down_is_a_temporary_failure(connect: Connect) -> None:
    with closed_port() as port, pytest.raises(TemporaryHospitalError, match="through the proxy") as caught:
        connect(f"https://{NAME}/fhir", hospital_proxy=f"http://us:{SECRET}@127.0.0.1:{port}").capabilities()
    assert SECRET not in str(caught.value)


def test_a_connection_refused_is_not_called_a_timeout(connect: Connect) -> None:
    with closed_port() as port, pytest.raises(TemporaryHospitalError, match=rf"{port} failed \(Connection refused\)"):
        connect(f"http://127.0.0.1:{port}/fhir").capabilities()


def test_the_loopback_needs_no_proxy(hospital: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert connect(hospital).capabilities().fhir_version == "4.0.1"
        client = connect(hospital, hospital_proxy=f"http://127.0.0.1:{port}")
        assert client.capabilities().fhir_version == "4.0.1"
