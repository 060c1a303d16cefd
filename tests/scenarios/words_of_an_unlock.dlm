# The lksb is always taken, the parameter unless it is 0, the address never.
shows words-of-an-unlock
open a
a lock A "r" EX
a gets A granted
a unlock A addr=0 param=0 lksb=0
a gets A unlocked lksb=0
a lock B "r" EX
a gets B granted
a unlock B words=9
a gets B unlocked addr=0xca000002 param=0xcb000009 lksb=0x5b000009
