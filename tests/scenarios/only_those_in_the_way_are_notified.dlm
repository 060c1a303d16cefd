# A holder that is compatible with the waiter hears nothing.
shows waiters-notify-holders
open a b c d
a lock A "r" PR
a gets A granted
b lock B "r" CR
b gets B granted
c lock C "r" NL
c gets C granted
d lock D "r" PW
a gets A blocking PW
b gets nothing
c gets nothing
