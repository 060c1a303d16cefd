# Nothing comes of it, but it takes words, and does not count as the one cancel there may be.
shows cancel-with-nothing-to-cancel
open a b
a lock A "r" EX
a gets A granted
a cancel A words=9
a gets nothing
queues "r" granted A:EX
b lock B "r" EX noqueue noqueuebast
b gets B again
a gets A blocking EX lksb=0x5b000009
a cancel A
a cancel A
a gets nothing
a convert A PR
a gets A granted
b lock C "r" PR
b gets C granted
a cancel A
a convert A EX
b gets C blocking EX
a cancel A
a gets A cancelled
