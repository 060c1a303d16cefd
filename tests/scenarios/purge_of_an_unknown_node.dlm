# There is no buffer for a message to it; with a warning in the kernel's log on 6.12.
shows purge-of-an-unknown-node
warns
open a
a purge 0 node=2 -> ENOBUFS
a purge 0 node=99 -> ENOBUFS
# The own node is known.
a purge 0 node=1
# The device goes on.
a lock A "r" EX
a gets A granted
