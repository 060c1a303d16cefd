# Only the patch of a request's version may differ.
shows accepted-versions
open a
a purge 0 version=6.0.0
a purge 0 version=6.0.99
a purge 0 version=6.1.0 -> EBADE
a purge 0 version=5.0.0 -> EBADE
a purge 0 version=7.0.0 -> EBADE
a purge 0 version=0.0.0 -> EBADE
# The size is looked at first, the version before the command.
a purge 0 version=7.0.0 size=103 -> EINVAL
a purge 0 version=7.0.0 command=3 -> EBADE
control purge 0 version=7.0.0 -> EBADE
control purge 0 version=6.1.0 -> EBADE
control purge 0 version=5.0.0 -> EBADE
control purge 0 version=0.0.0 -> EBADE
