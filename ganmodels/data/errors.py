"""The one error that readers of foreign data raise."""


class DataError(Exception):
    """A dataset or image that was refused, with a stable code and a remedy.

    ``code`` is for programs, ``detail`` one sentence for people: what is wrong, where, the
    limit, the remedy. ``detail`` holds no local path and no raw bytes of the file; names from
    inside it pass through :func:`printable`. ``limit`` is the bound that was crossed, if any.
    """

    def __init__(self, code: str, detail: str, limit: int | None = None) -> None:
        """Keep the three parts; ``str()`` gives the detail."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.limit = limit


def printable(name: str) -> str:
    """A foreign name made safe for messages: printable characters only, at most 100."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:100])
