# NATS subjects: refused before anything is sent (SPEC.md section 13).

from .errors import BridgeError

# White space outside ASCII; MicroPython's `isspace` knows ASCII only.
_SPACES = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def check_publish(subject):
    """SUBJ-2 for a subject to publish to."""
    tokens = _check(subject)
    if "*" in tokens or ">" in tokens:
        raise _invalid("wildcards are for subscribing only")


def check_subscribe(subject):
    """SUBJ-2 for a subject to subscribe to: `*` may be any token, `>` the last one."""
    if ">" in _check(subject)[:-1]:
        raise _invalid("the wildcard > must be the last token")


def _check(subject):
    if not subject:
        raise _invalid("the subject is empty")
    for char in subject:
        if char <= " " or "\x7f" <= char <= "\x9f" or char in _SPACES:
            raise _invalid("white space and control characters are not allowed in a subject")
    tokens = subject.split(".")
    if "" in tokens:
        raise _invalid("a token of the subject is empty")
    return tokens


def _invalid(message):
    return BridgeError("invalid_subject", "SUBJ-2", message)
