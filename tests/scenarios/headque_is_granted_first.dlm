# HEADQUE puts a request before those that wait already.
shows headque-goes-first
open a b c
a lock A "r" EX
a gets A granted
b lock B "r" EX
a gets A blocking EX
c lock C "r" EX headque
queues "r" granted A:EX waiting C:EX B:EX
a unlock A
a gets A unlocked
c gets C granted
b gets nothing
c gets C blocking EX
c unlock C
c gets C unlocked
b gets B granted
