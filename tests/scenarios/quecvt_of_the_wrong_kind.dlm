# Down, or to the same mode: refused, with a warning in the kernel's log. The words
# and the block are taken all the same.
shows quecvt-pairs
warns
open a b
a lock A "r" PR
a gets A granted
a convert A NL quecvt -> EINVAL
a convert A PR quecvt words=9 -> EINVAL
a gets nothing
queues "r" granted A:PR
b lock B "r" EX noqueue noqueuebast
b gets B again
a gets A blocking EX words=9
a convert A CW
a gets A granted
a convert A CW quecvt -> EINVAL
a convert A NL quecvt -> EINVAL
a convert A EX
a gets A granted
a convert A EX quecvt -> EINVAL
a convert A PW quecvt -> EINVAL
