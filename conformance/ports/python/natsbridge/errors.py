"""The one error of this package, and its kinds."""

from __future__ import annotations

KINDS = frozenset(
    "malformed limit invalid_payload invalid_base64 invalid_text invalid_json invalid_table wrong_type "
    "digest_mismatch cut_short too_long link_refused link_gone link_failed store too_large no_store "
    "invalid_subject invalid_input timeout".split()
)


class BridgeError(Exception):
    """Why something was refused.

    `kind` is what a program can act on (one of `KINDS`), `clause` the clause of SPEC.md that it
    rests on. `offset` is the byte where the fault was found: for messages and their base64 counted
    from the start of the message, for what a payload holds from the start of its raw bytes. A
    message that does not fit has `needed` and `limit`. No text holds a credential or a whole link.
    """

    def __init__(
        self,
        kind: str,
        clause: str,
        message: str,
        offset: int | None = None,
        *,
        needed: int | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(message)
        assert kind in KINDS, kind
        self.kind, self.clause, self.offset = kind, clause, offset
        self.needed, self.limit = needed, limit
        self.data_offset: int | None = None
