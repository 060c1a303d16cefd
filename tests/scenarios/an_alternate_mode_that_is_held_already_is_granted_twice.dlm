# Both kernels have this defect. A conversion that waits is granted the alternate mode, which the
# lock holds already, and then a second time, when it asks for nothing: the lock is left without a
# mode, which is shown as NL here.
shows alternate-granted-twice
open a b c
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
b convert B CW
a gets A blocking CW
a convert A CW altpr nodlckwt
queues "r" converting B:PR>CW A:PR>CW
b cancel B
b gets B cancelled
a gets A granted altmode
a gets A granted altmode
a gets nothing
queues "r" granted B:PR A:NL
# It was told that it has PR, and yet others can have EX.
b convert B EX
b gets B granted
a gets nothing
# When a conversion of it fails, it has ended, as a request would have, and yet it is still there.
a convert A PR noqueue
a gets A again
a unlock A -> ENOENT
b unlock B
b gets B unlocked
# Closing does not remove it: it stays until its lockspace is removed.
close a
queues "r" granted A:NL
b lock C "r" EX
b gets C granted
c unlock A -> ENOENT
c purge 0
queues "r" granted C:EX A:NL
