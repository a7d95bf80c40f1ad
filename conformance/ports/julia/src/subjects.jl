# NATS subjects: refused before anything is sent (SPEC.md section 13).

invalid_subject(message) = throw(BridgeError(:invalid_subject, "SUBJ-2", message))

"SUBJ-2 for a subject to publish to."
function check_publish(subject::AbstractString)
    tokens = check_subject(subject)
    any(in(("*", ">")), tokens) && invalid_subject("wildcards are for subscribing only")
    return nothing
end

"SUBJ-2 for a subject to subscribe to: `*` may be any token, `>` the last one."
function check_subscribe(subject::AbstractString)
    ">" in check_subject(subject)[1:end-1] && invalid_subject("the wildcard > must be the last token")
    return nothing
end

function check_subject(subject)
    isempty(subject) && invalid_subject("the subject is empty")
    bad(char) = !isvalid(char) || isspace(char) || iscntrl(char) || char in ('\u2028', '\u2029')
    any(bad, subject) && invalid_subject("white space and control characters are not allowed in a subject")
    tokens = split(subject, '.')
    any(isempty, tokens) && invalid_subject("a token of the subject is empty: a dot at the start, at the end or doubled")
    return tokens
end
