"""NATS subjects: refused before anything is sent (SPEC.md section 13)."""

from __future__ import annotations

import unicodedata

from .errors import BridgeError


def check_publish(subject: str) -> None:
    """SUBJ-2 for a subject to publish to."""
    tokens = _check(subject)
    if "*" in tokens or ">" in tokens:
        raise _invalid("wildcards are for subscribing only")


def check_subscribe(subject: str) -> None:
    """SUBJ-2 for a subject to subscribe to: `*` may be any token, `>` the last one."""
    if ">" in _check(subject)[:-1]:
        raise _invalid("the wildcard > must be the last token")


def _check(subject: str) -> list[str]:
    if not subject:
        raise _invalid("the subject is empty")
    if any(c.isspace() or unicodedata.category(c) in ("Cc", "Cs") for c in subject):
        raise _invalid("white space and control characters are not allowed in a subject")
    tokens = subject.split(".")
    if "" in tokens:
        raise _invalid("a token of the subject is empty: a dot at the start, at the end or doubled")
    return tokens


def _invalid(message: str) -> BridgeError:
    return BridgeError("invalid_subject", "SUBJ-2", message)
