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
# As are those of the past with a request that waits, WAIT (0x80000000) among them.
a lock E "s" EX flags=0x80000000
b lock F "s" PR flags=0x80000000
a gets E granted
a gets E blocking PR
b gets nothing
a unlock E
a gets E unlocked
b gets F granted
b unlock F
b gets F unlocked
a lock E "s" EX nodlckblk
b lock F "s" PR nodlckblk
a gets E granted
a gets E blocking PR
b gets nothing
a unlock E
a gets E unlocked
b gets F granted
b unlock F
b gets F unlocked
a lock E "s" EX noqueuebast
b lock F "s" PR noqueuebast
a gets E granted
a gets E blocking PR
b gets nothing
a unlock E
a gets E unlocked
b gets F granted
b unlock F
b gets F unlocked
# The transaction and the timeout decide nothing.
a lock G "t" EX noqueue xid=7 timeout=1
a gets G granted
a lock H "t" EX noqueue xid=7 timeout=1
a gets H again
