# Those of one thread, or of all with 0; live locks stay.
shows purge-of-orphans
open a b c
by t a lock A "r" EX persistent
a gets A granted
a lock B "s" EX persistent
a gets B granted
b lock L "live" EX persistent
b gets L granted
close a
c lock C "r" PR
c purge 0x7fffffff
c purge 1
queues "r" granted A:EX waiting C:PR
c purge t
c gets C granted
queues "s" granted B:EX
c adopt D "s" EX
c unlock D
c gets D unlocked
by t c lock E "t" EX persistent
c gets E granted
# The last thread to write counts.
c convert E PR persistent
c gets E granted
close c
b purge t
queues "t" granted E:PR
b purge 0
queues "t" none
queues "live" granted L:EX
