"""NATSBridge for Python: typed payloads over NATS, small ones inside the message, large ones by link.

    import natsbridge

    envelope = await natsbridge.smartsend("chat.room1", [("message", "Hello World", "text")])

    message = await natsbridge.smartreceive(msg)
    for dataname, data, type in message.payloads:
        print(dataname, data)

Written from SPEC.md; clauses of it are named in the code.
"""

from .bridge import (
    FILESERVER_URL,
    NATS_URL,
    ReceivedMessage,
    ReceivedPayload,
    Store,
    connect,
    flush,
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
from .plik import Plik, Upload
from .policy import Policy

__version__ = "0.1.0"
__all__ = [
    "BridgeError",
    "Download",
    "FILESERVER_URL",
    "MessageEnvelope",
    "MessagePayload",
    "NATS_URL",
    "Plik",
    "Policy",
    "ReceivedMessage",
    "ReceivedPayload",
    "Store",
    "Upload",
    "connect",
    "decode",
    "encode",
    "flush",
    "plik_oneshot_upload",
    "plik_upload",
    "reply",
    "request",
    "smartreceive",
    "smartsend",
]
