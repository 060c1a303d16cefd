# A PR holder hears of CW again on 6.1, and not on 6.12.
shows waiter-that-comes-back
open a b
a lock A "r" PR
a gets A granted
b lock B "r" CW
a gets A blocking CW
b cancel B
b gets B cancelled
b lock B "r" CW
on 6.1 a gets A blocking CW
a gets nothing
