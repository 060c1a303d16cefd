# Locks, waiting requests and unread results end with the device.
shows last-close-ends-the-locks
open a b c d
a lock A "r" PR
a gets A granted
b lock B "r" EX
b lock C "s" EX
c lock D "r" PR
a gets A blocking EX
close b
c gets D granted
queues "r" granted D:PR A:PR
queues "s" none
d lock E "r" EX
# A has heard of EX before.
a gets nothing
c gets D blocking EX
close a c
d gets E granted
