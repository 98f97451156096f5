"""The one error of feature spaces."""


class FeaturesUnavailable(Exception):  # noqa: N818
    """A feature space that cannot be had here, with a stable code and a remedy.

    ``code`` is for programs: ``classifier_without_labels``, ``random_on_points``,
    ``inception_on_points``, ``inception_without_weights``, ``inception_not_installed`` or
    ``inception_weights_unreadable``. ``detail`` is one sentence for people, without a path.
    """

    def __init__(self, code: str, detail: str) -> None:
        """Keep both parts; ``str()`` gives the detail."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
