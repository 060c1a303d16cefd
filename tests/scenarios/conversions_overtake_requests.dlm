# A conversion does not look at requests that wait.
shows conversions-overtake-requests
open a b
a lock A "r" PR
a gets A granted
b lock B "r" EX
a gets A blocking EX
a convert A EX
a gets A granted
# A fresh grant is told anew that it is in the way.
a gets A blocking EX
queues "r" granted A:EX waiting B:EX
a convert A NL
a gets A granted
b gets B granted
queues "r" granted B:EX A:NL
