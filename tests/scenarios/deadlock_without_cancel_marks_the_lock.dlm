# On a granted lock it leaves a mark, which the next cancel that does something shows.
shows deadlock-command
open a b
a lock A "r" PR
a gets A granted
b lock B "r" PR
b gets B granted
a deadlock A flags=0x0
a gets nothing
queues "r" granted B:PR A:PR
a convert A EX
b gets B blocking EX
a cancel A
a gets A deadlock
