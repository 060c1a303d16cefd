# An alternate mode is granted where the one that is asked for is not.
shows alternate-modes
open a b
a lock A "r" PR
a gets A granted
b lock B "r" EX altpr
b gets B granted altmode
queues "r" granted B:PR A:PR
b unlock B
b gets B unlocked
b lock C "r" EX altpr noqueue
b gets C granted altmode
b unlock C
b gets C unlocked
b lock D "r" EX altcw noqueue
b gets D again
b lock I "r" EX altpr altcw
b gets I granted altmode
queues "r" granted I:PR A:PR
b unlock I
b gets I unlocked
a unlock A
a gets A unlocked
# What is asked for is preferred.
a lock E "r" EX altpr altcw
a gets E granted
queues "r" granted E:EX
a convert E CW
a gets E granted
b lock F "r" EX altcw
b gets F granted altmode
# With both, only PR is tried, unless it was asked for.
b lock G "r" EX altpr altcw noqueue
b gets G again
b lock H "r" PR altpr altcw noqueue
b gets H granted altmode
queues "r" granted H:CW F:CW E:CW
