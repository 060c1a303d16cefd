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
# Each pair that may not have it.
a lock C "s" NL
a gets C granted
a convert C NL quecvt -> EINVAL
a gets nothing
queues "s" granted C:NL
a unlock C
a gets C unlocked
a lock C "s" CR
a gets C granted
a convert C NL quecvt -> EINVAL
a convert C CR quecvt -> EINVAL
a gets nothing
queues "s" granted C:CR
a unlock C
a gets C unlocked
a lock C "s" CW
a gets C granted
a convert C NL quecvt -> EINVAL
a convert C CR quecvt -> EINVAL
a convert C CW quecvt -> EINVAL
a gets nothing
queues "s" granted C:CW
a unlock C
a gets C unlocked
a lock C "s" PR
a gets C granted
a convert C NL quecvt -> EINVAL
a convert C CR quecvt -> EINVAL
a convert C PR quecvt -> EINVAL
a gets nothing
queues "s" granted C:PR
a unlock C
a gets C unlocked
a lock C "s" PW
a gets C granted
a convert C NL quecvt -> EINVAL
a convert C CR quecvt -> EINVAL
a convert C CW quecvt -> EINVAL
a convert C PR quecvt -> EINVAL
a convert C PW quecvt -> EINVAL
a gets nothing
queues "s" granted C:PW
a unlock C
a gets C unlocked
a lock C "s" EX
a gets C granted
a convert C NL quecvt -> EINVAL
a convert C CR quecvt -> EINVAL
a convert C CW quecvt -> EINVAL
a convert C PR quecvt -> EINVAL
a convert C PW quecvt -> EINVAL
a convert C EX quecvt -> EINVAL
a gets nothing
queues "s" granted C:EX
a unlock C
a gets C unlocked
