"""The one exception of this testee: something that the format refuses."""


class Refusal(Exception):
    """A refusal of a kind that the protocol knows, with the byte offset where there is one."""

    def __init__(self, kind, offset=None, **details):
        super().__init__(kind)
        self.kind, self.offset, self.details = kind, offset, details

    def as_json(self):
        answer = {"kind": self.kind, **self.details}
        if self.offset is not None:
            answer["offset"] = self.offset
        return answer


class Skip(Exception):
    """What this testee does not do; the text says why."""
