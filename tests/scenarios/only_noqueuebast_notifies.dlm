# A request that fails notifies the holder only if it asks for that.
shows noqueuebast-notifies-holders
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR noqueue
b gets B again
a gets nothing
b lock C "r" PR noqueue noqueuebast
b gets C again
a gets A blocking PR
a gets nothing
