# Unknown flags and those of the past are taken, and do nothing.
shows flags-without-effect
open a b
a lock A "r" EX flags=0xfff80000
b lock B "r" PR flags=0xfff80000
a gets A granted
a gets A blocking PR
b gets nothing
a unlock A
a gets A unlocked
b gets B granted
b unlock B
b gets B unlocked
a lock C "r" EX timeout timeout=1
b lock D "r" PR timeout timeout=1
a gets C granted
a gets C blocking PR
b gets nothing
a convert C NL nodlckblk
a gets C granted
b gets D granted
a convert C EX nodlckblk noqueuebast
a gets nothing
b gets D blocking EX
a cancel C
a gets C cancelled
