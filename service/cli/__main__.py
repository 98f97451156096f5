"""``python -m service.cli`` is ``ringside``."""

from service.cli.main import main

main()
