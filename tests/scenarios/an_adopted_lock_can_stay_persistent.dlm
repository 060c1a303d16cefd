# If that is asked for again. It has the words of the adoption.
shows orphans-and-adoption
open a b c
a lock A "r" PR persistent
a gets A granted
close a
b adopt B "r" PR persistent words=9
c lock C "r" EX noqueue noqueuebast
c gets C again
b gets B blocking EX words=9
close b
queues "r" granted A:PR
c adopt D "r" PR
c unlock D
c gets D unlocked
