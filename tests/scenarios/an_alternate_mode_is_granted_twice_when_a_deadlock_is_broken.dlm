# As an_alternate_mode_that_is_held_already_is_granted_twice.dlm, with the calls of the fuzzer's input
# fuzz/corpus/engine/alternate_held_1: the conversion in front is broken off by DEADLOCK of a third
# session, and the one behind it takes the alternate mode, which its lock holds already.
shows alternate-granted-twice
open a b c
a lock A "a" PR
a gets A granted
b lock B "a" PR
b gets B granted
a convert A EX
b gets B blocking EX
b convert B EX altpr nodlckwt
queues "a" converting A:PR>EX B:PR>EX
c deadlock A
a gets A deadlock
b gets B granted altmode
b gets B granted altmode
b gets nothing
a gets nothing
queues "a" granted A:PR B:NL
