# No deadlock is found; when the queues are looked at again, the lock hears of its own mode.
shows nodlckwt-waits
open a b c
c lock C "r" NL
c gets C granted
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a convert A PW
b gets B blocking PW
b convert B EX nodlckwt
b gets nothing
queues "r" granted C:NL converting A:PR>PW B:PR>EX
c unlock C
c gets C unlocked
b gets B blocking EX
a gets nothing
a cancel A
a gets A cancelled
on 6.1 a gets A blocking EX status=cancelled
on 6.12 a gets A blocking EX
b gets nothing
a unlock A
a gets A unlocked
b gets B granted
