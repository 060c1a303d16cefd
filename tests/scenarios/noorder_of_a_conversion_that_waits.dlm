# A conversion with NOORDER that waits is granted past one before it as soon as the modes go together.
shows noorder-overtakes
open a b c
a lock A "r" PR
a gets A granted
b lock B "r" NL
b gets B granted
c lock C "r" NL
c gets C granted
b convert B EX
a gets A blocking EX
c convert C PW noorder
c gets nothing
queues "r" granted A:PR converting B:NL>EX C:NL>PW
a convert A CR
a gets A granted
a gets A blocking EX
c gets C granted
c gets C blocking EX
queues "r" granted C:PW A:CR converting B:NL>EX
