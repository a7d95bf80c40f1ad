# Where a reply goes, and what it carries (SPEC.md section 14).

"""
REQ-2: the NATS reply subject, else the envelope's; `nothing` where the message asks for no reply that could
be given.
"""
function reply_subject(request, nats_reply)
    acknowledges = nats_reply === nothing || isempty(nats_reply) || startswith(nats_reply, "\$JS.ACK.")
    subject = acknowledges ? request.reply_to : nats_reply
    return isempty(subject) || startswith(subject, '\$') ? nothing : subject
end

"REQ-3 and REQ-4: the text fields of a reply that the request decides."
reply_fields(request) = (
    correlation_id = request.correlation_id,
    reply_to_msg_id = request.msg_id,
    msg_purpose = "response",
    receiver_name = request.sender_name,
    receiver_id = request.sender_id,
    reply_to = "",
)
