# Modes are 0 to 5, names have 0 to 64 bytes of any kind.
shows modes-and-names
open a
a lock A "r" mode=6 -> EINVAL
a lock A "r" mode=7 -> EINVAL
a lock A "r" mode=128 -> EINVAL
a lock A "r" mode=255 -> EINVAL
a lock A "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" EX namelen=65 -> EINVAL
a lock B "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" EX
a gets B granted
a lock C "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" EX noqueue
a gets C granted
a lock D "" EX
a gets D granted
a lock E "" EX noqueue
a gets E again
a lock F "a\x00b" EX
a gets F granted
a lock G "a\x00c" EX noqueue
a gets G granted
a lock H "a\x00b" EX noqueue
a gets H again
a lock I "\x00a" EX noqueue
a gets I granted
a lock J "a" EX noqueue
a gets J granted
# Names that differ by NUL bytes at their end are one resource on 6.12.
a lock K "a\x00" EX noqueue
on 6.1 a gets K granted
on 6.12 a gets K again
a lock L "\x00" EX noqueue
on 6.1 a gets L granted
on 6.12 a gets L again
