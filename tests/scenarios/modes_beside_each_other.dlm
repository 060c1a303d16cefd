# Each of the 36 pairs: which may be held together.
shows modes-beside-each-other
open a b
a lock A "r" NL
a gets A granted
b lock B "r" NL noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CR noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CW noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" PR noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" PW noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" EX noqueue
b gets B granted
b unlock B
b gets B unlocked
a unlock A
a gets A unlocked
queues "r" none
a lock A "r" CR
a gets A granted
b lock B "r" NL noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CR noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CW noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" PR noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" PW noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" EX noqueue
b gets B again
a unlock A
a gets A unlocked
queues "r" none
a lock A "r" CW
a gets A granted
b lock B "r" NL noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CR noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CW noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" PR noqueue
b gets B again
b lock B "r" PW noqueue
b gets B again
b lock B "r" EX noqueue
b gets B again
a unlock A
a gets A unlocked
queues "r" none
a lock A "r" PR
a gets A granted
b lock B "r" NL noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CR noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CW noqueue
b gets B again
b lock B "r" PR noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" PW noqueue
b gets B again
b lock B "r" EX noqueue
b gets B again
a unlock A
a gets A unlocked
queues "r" none
a lock A "r" PW
a gets A granted
b lock B "r" NL noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CR noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CW noqueue
b gets B again
b lock B "r" PR noqueue
b gets B again
b lock B "r" PW noqueue
b gets B again
b lock B "r" EX noqueue
b gets B again
a unlock A
a gets A unlocked
queues "r" none
a lock A "r" EX
a gets A granted
b lock B "r" NL noqueue
b gets B granted
b unlock B
b gets B unlocked
b lock B "r" CR noqueue
b gets B again
b lock B "r" CW noqueue
b gets B again
b lock B "r" PR noqueue
b gets B again
b lock B "r" PW noqueue
b gets B again
b lock B "r" EX noqueue
b gets B again
a unlock A
a gets A unlocked
queues "r" none
