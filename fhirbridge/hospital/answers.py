"""A server's answer, read whole and within bounds: one that trickles or never ends cannot hold us."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import requests
import urllib3

from fhirbridge.errors import FatalHospitalError, TemporaryHospitalError

_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (their names in any case) and the whole body after decompression."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


def read_whole(response: requests.Response, what: str, *, seconds: float, size: int) -> Answer:
    """Read the body of a streamed response, for at most ``seconds`` in all and ``size`` bytes.

    Bytes are taken as they come, because a wait for a full buffer would look at the clock only once it is full.
    Raises TemporaryHospitalError for a body that comes too slowly, FatalHospitalError for one that is too large, and
    what ``requests`` raises for one that is cut.
    """
    until, body = time.monotonic() + seconds, bytearray()
    try:
        while piece := response.raw.read1(_PIECE, decode_content=True):
            body += piece
            if len(body) > size:
                raise FatalHospitalError(
                    f"{what}: the answer is larger than {size} bytes. Ask for smaller pages or Bundles.",
                    status=response.status_code,
                )
            if time.monotonic() > until:
                raise TemporaryHospitalError(f"{what}: the answer was not complete within {seconds:g} seconds.")
    except urllib3.exceptions.DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error) from error
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error, request=response.request) from error
    finally:
        response.close()  # a connection read to its end is back in the pool by now, and stays open
    return Answer(response.status_code, response.headers, bytes(body))
