# Drops this device's live locks and unread results, and no other device's. Another thread's purge
# of the same number is one of orphans.
shows purge-of-the-calling-thread
open a b
a lock A "r" EX
a gets A granted
by t a purge main
queues "r" granted A:EX
a lock B "s" EX
b lock C "t" EX
b gets C granted
a purge me
a gets nothing
queues "r" none
queues "s" none
queues "t" granted C:EX
a unlock A -> ENOENT
a lock D "r" EX
a gets D granted
# Locks of another thread through this device go, too.
by t a lock E "u" EX
a gets E granted
by t a purge me
queues "u" none
queues "r" none
