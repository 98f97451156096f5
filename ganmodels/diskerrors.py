"""Which errors of the operating system are a disk's fault, and pass."""

import errno

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FAILING = frozenset({errno.EIO, errno.EROFS})
