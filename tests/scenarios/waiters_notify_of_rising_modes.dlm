# Waiting requests notify those in the way, of rising modes.
shows waiters-notify-holders
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR
a gets A blocking PR
b lock C "r" EX
a gets A blocking EX
b lock D "r" CR
a gets nothing
b gets nothing
queues "r" granted A:EX waiting B:PR C:EX D:CR
