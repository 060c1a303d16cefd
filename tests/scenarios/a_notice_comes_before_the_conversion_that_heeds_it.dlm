# Although it is out of date by then.
shows notice-before-the-conversion
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR
a convert A PR
b gets B granted
a gets A blocking PR
a gets A granted
