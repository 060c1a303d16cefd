# The last ones on 6.1, their own on 6.12.
shows words-of-unread-results
open a
a lock A "r" EX
a convert A NL words=2
a unlock A words=3
on 6.1 a gets A granted addr=0xca000002 param=0xcb000003 lksb=0x5b000003
on 6.1 a gets A granted addr=0xca000002 param=0xcb000003 lksb=0x5b000003
on 6.1 a gets A unlocked addr=0xca000002 param=0xcb000003 lksb=0x5b000003
on 6.12 a gets A granted
on 6.12 a gets A granted words=2
on 6.12 a gets A unlocked addr=0xca000002 param=0xcb000003 lksb=0x5b000003
