-- Ends those of a user's tokens that the selector names. Repeatable: what has ended stays as it ended.
--
-- Input  ARGV 5 code, 6 event, 7 actor, 8 selector: all | ids | except | platforms, 9 … the names it speaks of
-- Output ENDED now (id platform …)
-- Events one for each token ended

local selector, named = ARGV[8], {}
for i = 9, #ARGV do named[ARGV[i]] = true end

local chosen = {}
for _, token in ipairs(endable_tokens()) do
  local selected = selector == 'all'
    or (selector == 'ids' and named[token.id])
    or (selector == 'except' and not named[token.id])
    or (selector == 'platforms' and named[token.platform])
  if selected then chosen[#chosen + 1] = token end
end
return { 'ENDED', NOW, end_all(chosen, ARGV[5], ARGV[6], ARGV[7]) }
