# Without an address for completions or an lksb, a request of any form is refused, and has no effect.
shows words-that-may-not-be-zero
open a b
a lock A "held" PR
a gets A granted
a lock B "r" EX addr=0 -> EINVAL
a lock B "r" EX lksb=0 -> EINVAL
a lock B "r" EX addr=0 lksb=0 -> EINVAL
a lock B "r" EX addr=0 param=0 baddr=0 bparam=0 lksb=0 -> EINVAL
a convert A EX addr=0 words=7 -> EINVAL
a convert A EX lksb=0 words=7 -> EINVAL
a convert A EX addr=0 param=0 baddr=0 bparam=0 lksb=0 -> EINVAL
a adopt B "r" EX addr=0 -> EINVAL
a adopt B "r" EX lksb=0 -> EINVAL
a adopt B "r" EX addr=0 param=0 baddr=0 bparam=0 lksb=0 -> EINVAL
a gets nothing
# The refused conversions have left the words alone.
b lock C "held" EX noqueue noqueuebast
b gets C again
a gets A blocking EX
# All other words may be 0.
a lock D "r" EX param=0 baddr=0 bparam=0
a gets D granted param=0
