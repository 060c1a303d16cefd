# Sizes of requests, whatever the command uses of them.
shows length-of-a-request
open a
a purge 0 size=103 -> EINVAL
a purge 0 size=104
a purge 0 size=120
a purge 0 size=184
a purge 0 size=185 -> EINVAL
a purge 0 size=0 -> EINVAL
a purge 0 size=4096 -> EINVAL
