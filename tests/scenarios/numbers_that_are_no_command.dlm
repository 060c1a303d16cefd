# Numbers that are no command are refused by both kinds of device. 3 was to be a query.
shows unknown-commands
open a
a purge 0 command=0 -> EINVAL
a purge 0 command=3 -> EINVAL
a purge 0 command=8 -> EINVAL
a purge 0 command=9 -> EINVAL
a purge 0 command=255 -> EINVAL
control purge 0 command=0 -> EINVAL
control purge 0 command=3 -> EINVAL
control purge 0 command=8 -> EINVAL
control purge 0 command=9 -> EINVAL
control purge 0 command=255 -> EINVAL
