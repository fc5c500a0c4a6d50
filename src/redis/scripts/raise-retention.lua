-- Puts a longer life of access tokens on record. Never shortens.
--
-- Input  KEYS 1 largest figures that were ever in force
--        ARGV 1 life of an access token (ms), 2 time from which on the feed is whole
-- Output RAISED now
-- Events none

redis.call('ZADD', KEYS[1], 'GT', ARGV[2], 'wholeSince', ARGV[1], 'accessMs')
return { 'RAISED', NOW }
