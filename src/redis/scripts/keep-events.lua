-- Lets the events of a shard live at least so long from now.
--
-- Input  KEYS 1 event stream
--        ARGV 1 life (ms)
-- Output KEPT now
-- Events none

keep_until(KEYS[1], NOW + tonumber(ARGV[1]))
return { 'KEPT', NOW }
