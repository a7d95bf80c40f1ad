# NATSBridge for MicroPython: typed payloads over NATS, small ones inside the message, large ones by link.
#
#     from nats_bridge import smartsend, smartreceive
#
#     smartsend("/chat/room1", [("message", "Hello World", "text")], nats_url="nats://192.168.1.2:4222")
#
# Written from SPEC.md; clauses of it are named in the code.

from .bridge import (
    FILESERVER_URL,
    NATS_URL,
    plik_oneshot_upload,
    plik_upload,
    reply,
    request,
    smartreceive,
    smartsend,
)
from .downloads import Download
from .envelope import MessageEnvelope, MessagePayload, decode, encode
from .errors import BridgeError
from .nats import Client
from .plik import Plik
from .policy import Policy

__version__ = "0.1.0"
