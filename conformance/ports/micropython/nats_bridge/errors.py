# The one error of this package.


class BridgeError(Exception):
    """Why something was refused. `kind` is what a program can act on (`malformed`, `invalid_base64`,
    `link_refused`, …), `clause` the clause of SPEC.md. `offset` counts from the start of the message, or of
    the payload's raw bytes. A message that does not fit has `needed` and `limit`. No text holds a credential
    or a whole link."""

    def __init__(self, kind, clause, message, offset=None, needed=None, limit=None):
        super().__init__(message)
        self.kind, self.clause, self.message, self.offset = kind, clause, message, offset
        self.needed, self.limit = needed, limit

    def __str__(self):
        return self.message
