# Refused while there are locks or orphans, unless forced.
shows locks-prevent-the-removal
control create two
open a in two
a lock A "r" NL
a gets A granted
control remove two -> EBUSY
a convert A EX
a gets A granted
a unlock A
a gets A unlocked
close a
control remove two
control create three
open a in three
a lock B "r" EX persistent
a gets B granted
close a
control remove three -> EBUSY
control remove three force
open a in three -> ENOENT
# Created anew it is empty.
control create three newexcl
open a in three
a lock C "r" EX noqueue
a gets C granted
close a
control remove three
