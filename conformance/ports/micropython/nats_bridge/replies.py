# Where a reply goes, and what it carries (SPEC.md section 14).


def reply_subject(request, nats_reply):
    """REQ-2: the NATS reply subject, else the envelope's; `None` where no reply can be given."""
    subject = nats_reply
    if not subject or subject.startswith("$JS.ACK."):
        subject = request.reply_to
    return subject if subject and not subject.startswith("$") else None


def reply_fields(request):
    """REQ-3 and REQ-4: the text fields of a reply that the request decides."""
    return {
        "correlation_id": request.correlation_id,
        "reply_to_msg_id": request.msg_id,
        "msg_purpose": "response",
        "receiver_name": request.sender_name,
        "receiver_id": request.sender_id,
        "reply_to": "",
    }
