"""Where a reply goes, and what it carries (SPEC.md section 14)."""

from __future__ import annotations

from .envelope import MessageEnvelope


def reply_subject(request: MessageEnvelope, nats_reply: str | None) -> str | None:
    """REQ-2: the NATS reply subject, else the envelope's; `None` where the message asks for no reply that
    could be given."""
    if nats_reply and not nats_reply.startswith("$JS.ACK."):
        subject = nats_reply
    else:
        subject = request.reply_to
    return subject if subject and not subject.startswith("$") else None


def reply_fields(request: MessageEnvelope) -> dict[str, str]:
    """REQ-3 and REQ-4: the text fields of a reply that the request decides."""
    return {
        "correlation_id": request.correlation_id,
        "reply_to_msg_id": request.msg_id,
        "msg_purpose": "response",
        "receiver_name": request.sender_name,
        "receiver_id": request.sender_id,
        "reply_to": "",
    }
