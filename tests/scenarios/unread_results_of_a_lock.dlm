# Of 13 unread completions 6.1 keeps six, with the last words, and 6.12 all, each with its own.
shows unread-results-of-a-lock
open a
a lock A "r" EX
a convert A EX words=2
a convert A EX words=3
a convert A EX words=4
a convert A EX words=5
a convert A EX words=6
a convert A EX words=7
a convert A EX words=8
a convert A EX words=9
a convert A EX words=10
a convert A EX words=11
a convert A EX words=12
a convert A EX words=13
on 6.12 a gets A granted
on 6.12 a gets A granted words=2
on 6.12 a gets A granted words=3
on 6.12 a gets A granted words=4
on 6.12 a gets A granted words=5
on 6.12 a gets A granted words=6
on 6.12 a gets A granted words=7
on 6.12 a gets A granted words=8
on 6.12 a gets A granted words=9
on 6.12 a gets A granted words=10
on 6.12 a gets A granted words=11
on 6.12 a gets A granted words=12
on 6.12 a gets A granted words=13
on 6.1 a gets A granted words=13
on 6.1 a gets A granted words=13
on 6.1 a gets A granted words=13
on 6.1 a gets A granted words=13
on 6.1 a gets A granted words=13
on 6.1 a gets A granted words=13
a gets nothing
# The lock itself has not suffered.
a convert A NL
a gets A granted
a unlock A
a gets A unlocked
