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
# Each mode that there is.
a lock M "m" NL
a gets M granted
queues "m" granted M:NL
a unlock M
a gets M unlocked
queues "m" none
a lock M "m" CR
a gets M granted
queues "m" granted M:CR
a unlock M
a gets M unlocked
queues "m" none
a lock M "m" CW
a gets M granted
queues "m" granted M:CW
a unlock M
a gets M unlocked
queues "m" none
a lock M "m" PR
a gets M granted
queues "m" granted M:PR
a unlock M
a gets M unlocked
queues "m" none
a lock M "m" PW
a gets M granted
queues "m" granted M:PW
a unlock M
a gets M unlocked
queues "m" none
a lock M "m" EX
a gets M granted
queues "m" granted M:EX
a unlock M
a gets M unlocked
queues "m" none
# Each is one resource, whoever names it.
a lock N "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" EX noqueue
a gets N again
a lock N "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" EX noqueue
a gets N again
a lock N "a\x00c" EX noqueue
a gets N again
a lock N "\x00a" EX noqueue
a gets N again
a lock N "a" EX noqueue
a gets N again
# So is a name that is filled up with NUL bytes, on 6.12.
a lock P "a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" EX noqueue
on 6.1 a gets P granted
on 6.12 a gets P again
