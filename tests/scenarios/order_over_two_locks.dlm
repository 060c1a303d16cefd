# 6.1 drains one lock after the other, 6.12 keeps the order.
shows order-of-results
open a
a lock A "a" EX
a lock B "b" EX
a convert A NL
a convert B NL
a gets A granted
on 6.1 a gets A granted
on 6.1 a gets B granted
on 6.12 a gets B granted
on 6.12 a gets A granted
a gets B granted
# Results of two devices do not mix.
open b
a lock C "c" EX
b lock D "d" EX
differ C D
b gets D granted
a gets C granted
a gets nothing
b gets nothing
