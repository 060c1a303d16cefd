# And with it that it was not valid.
shows last-lock-takes-the-block
open a
a lock A "r" EX valblk
a gets A granted lvb=00
a convert A EX valblk lvb=01
a gets A granted
a unlock A ivvalblk
a gets A unlocked
a lock B "r" NL valblk
a gets B granted lvb=00
