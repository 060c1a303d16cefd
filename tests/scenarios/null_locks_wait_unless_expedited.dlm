# Even an NL request waits behind another.
shows null-requests-wait-too
open a b c
a lock A "r" PR
a gets A granted
b lock B "r" EX
a gets A blocking EX
c lock C "r" NL
c gets nothing
c lock D "r" NL expedite
c gets D granted
c lock E "r" NL noqueue
c gets E again
queues "r" granted D:NL A:PR waiting B:EX C:NL
a unlock A
a gets A unlocked
b gets B granted
c gets C granted
queues "r" granted C:NL B:EX D:NL
