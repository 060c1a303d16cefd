# Locks are for lockspaces' devices, and lockspaces for the control device.
shows commands-of-each-device
open a
a lock A "r" NL
a gets A granted
control lock B "r" NL -> EINVAL
control convert A EX -> EINVAL
control unlock A -> EINVAL
control deadlock A -> EINVAL
control purge 0 -> EINVAL
a create two -> EINVAL
a remove main -> EINVAL
queues "r" granted A:NL
a gets nothing
