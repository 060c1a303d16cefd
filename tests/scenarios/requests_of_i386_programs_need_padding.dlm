# An i386 program's request ends 4 bytes before what a 64-bit kernel wants to see.
shows i386-padding
open a b
a lock A "disk0001" EX noqueue width=32
a gets A granted
a unlock A width=32 size=100 -> EINVAL
a unlock A width=32
a gets A unlocked
# Without padding, names lose their last four bytes.
a lock B "disk0002" EX noqueue width=32
a gets B granted
b lock C "disk0003" EX noqueue width=32 size=108
b gets C granted
b lock D "disk0004" EX noqueue width=32 size=108
b gets D again
