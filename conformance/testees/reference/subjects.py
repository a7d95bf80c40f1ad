"""Subjects (section 13) and where a reply goes (section 14)."""

import unicodedata

from envelope import Message
from refusal import Refusal


def check(subject, use):
    """SUBJ-2, for publish or subscribe."""
    tokens = subject.split(".")
    if "" in tokens or any(c.isspace() or unicodedata.category(c) == "Cc" for c in subject):
        raise Refusal("invalid_subject")
    if use == "publish" and ("*" in tokens or ">" in tokens):
        raise Refusal("invalid_subject")
    if ">" in tokens[:-1]:
        raise Refusal("invalid_subject")


def reply(request, nats_reply):
    """REQ-2 to REQ-4: the reply to a request, with `subject` None where none can be given."""
    message = Message(request)
    subject = nats_reply or ""
    if subject == "" or subject.startswith("$JS.ACK."):
        subject = message.fields["reply_to"]
    if subject == "" or subject.startswith("$"):
        return {"subject": None}
    return {
        "subject": subject,
        "dialect": message.dialect,
        "fields": {
            "correlation_id": message.fields["correlation_id"],
            "reply_to_msg_id": message.fields["msg_id"],
            "msg_purpose": "response",
            "receiver_name": message.fields["sender_name"],
            "receiver_id": message.fields["sender_id"],
            "reply_to": "",
        },
    }
