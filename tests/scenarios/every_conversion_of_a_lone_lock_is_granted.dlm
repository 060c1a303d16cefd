# A conversion returns 0 and completes, up, down and to the same mode.
shows lone-lock-converts-freely
open a
a lock A "r" NL
a gets A granted
a convert A CR
a gets A granted
a convert A CW
a gets A granted
a convert A PR
a gets A granted
a convert A PW
a gets A granted
a convert A EX
a gets A granted
a convert A EX
a gets A granted
queues "r" granted A:EX
a convert A CW
a gets A granted
a convert A CR
a gets A granted
a convert A PW
a gets A granted
a convert A PR
a gets A granted
a convert A CW
a gets A granted
a convert A NL
a gets A granted
a convert A EX
a gets A granted
a convert A NL
a gets A granted
queues "r" granted A:NL
