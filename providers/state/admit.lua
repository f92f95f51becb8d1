-- The rules of counting, in Redis: the twin of counters.py, step for step.
-- ARGV[1]: MessagePack of {operation, now in ms or 0 for the server's time, arguments...}; so is the answer.

local BUCKETS, MOST_SPENT, QUIET = 60, 8e15, 10000
local KEPT, TOMBSTONE, VOID = 86400000, 3600000, 120000
local COUNT, TOKENS, COST, HOLD, MEMBER = 0, 1, 2, 3, 4
local OPEN, EXPIRED, VOIDED = 1, 2, 3
local MOST_EXPIRED = 500 -- of one call: others must be served too
local SILENCE = 15000

local arguments = cmsgpack.unpack(ARGV[1])
local operation, now = arguments[1], arguments[2]
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local loaded, changed = {}, {}

-- counter: epoch, spent, held, seeded, touched, flying, then (time, amount) of each bucket
local function load(name, epoch)
  local counter = loaded[name]
  if counter then return counter end
  local text = redis.call('GET', 'sy:c:' .. name)
  if text then
    local v = cmsgpack.unpack(text)
    local first = #v % 2 == 0 and 7 or 6 -- an earlier release wrote no `flying`
    counter = {epoch = v[1], spent = v[2], held = v[3], seeded = v[4] == 1, touched = v[5], buckets = {}}
    counter.flying = first == 7 and v[6] or 0
    for at = first, #v, 2 do counter.buckets[#counter.buckets + 1] = {v[at], v[at + 1]} end
  elseif epoch then
    counter = {epoch = epoch, spent = 0, held = 0, seeded = false, touched = 0, flying = 0, buckets = {}}
    changed[name] = true
  else
    return nil
  end
  loaded[name] = counter
  return counter
end

local function save()
  for name in pairs(changed) do
    local c = loaded[name]
    local v = {c.epoch, c.spent, c.held, c.seeded and 1 or 0, c.touched, c.flying}
    for _, bucket in ipairs(c.buckets) do
      v[#v + 1] = bucket[1]
      v[#v + 1] = bucket[2]
    end
    redis.call('SET', 'sy:c:' .. name, cmsgpack.pack(v), 'PX', KEPT)
  end
end

local function answer(...)
  save()
  return cmsgpack.pack({...})
end

local function enter(name, counter, epoch)
  if counter.epoch < epoch then
    counter.epoch, counter.spent, counter.held, counter.flying, counter.buckets = epoch, 0, 0, 0, {}
    changed[name] = true
  end
end

local function advance(counter, window)
  local kept = {}
  for _, bucket in ipairs(counter.buckets) do
    if #kept == 0 and bucket[1] + window <= now then
      counter.spent = counter.spent - bucket[2]
    else
      kept[#kept + 1] = bucket
    end
  end
  counter.buckets = kept
end

local function spend(name, counter, window, amount)
  counter.touched = now
  changed[name] = true
  if window == 0 then
    counter.spent = math.min(counter.spent + amount, MOST_SPENT)
    return
  end
  if amount == 0 then return end
  counter.spent = counter.spent + amount
  local width = math.max(1, math.floor(window / BUCKETS))
  local newest, at = counter.buckets[#counter.buckets], now
  if newest then
    at = math.max(at, newest[1])
    if math.floor(newest[1] / width) == math.floor(at / width) then
      newest[1], newest[2] = at, newest[2] + amount
      return
    end
  end
  counter.buckets[#counter.buckets + 1] = {at, amount}
end

local function unspend(name, counter, window, amount)
  counter.touched = now
  changed[name] = true
  if window == 0 then
    counter.spent = math.max(0, counter.spent - amount)
    return
  end
  while amount > 0 and #counter.buckets > 0 do
    local newest = counter.buckets[#counter.buckets]
    local part = math.min(amount, newest[2])
    newest[2], counter.spent, amount = newest[2] - part, counter.spent - part, amount - part
    if newest[2] == 0 then counter.buckets[#counter.buckets] = nil end
  end
end

-- demand: counter, how, limit, least, want, window, epoch, ends, following, shadow, seeded, member
local function counter_of(demand)
  local counter = load(demand[1], demand[7])
  local epoch = demand[7]
  if demand[8] ~= 0 and now >= demand[8] then
    epoch = now >= demand[9] and demand[9] or demand[8]
  end
  enter(demand[1], counter, epoch)
  if #counter.buckets > 0 then advance(counter, demand[6]) end
  return counter
end

local function members_key(demand) return 'sy:m:' .. demand[1] end

local function is_seeded(demand)
  if demand[2] == MEMBER then return redis.call('SISMEMBER', members_key(demand), '') == 1 end
  return counter_of(demand).seeded
end

local function note_unseeded(demands, found)
  for _, demand in ipairs(demands) do
    if demand[11] and not is_seeded(demand) then found[#found + 1] = demand[1] end
  end
end

local function used_of(demand)
  if demand[2] == MEMBER then return math.max(0, redis.call('SCARD', members_key(demand)) - 1) end
  local counter = loaded[demand[1]]
  return counter.spent + counter.held
end

local function fits_at(counter, demand)
  if demand[4] > demand[3] then return 0 end
  if demand[6] == 0 then
    if demand[8] ~= 0 and now >= demand[8] then return demand[9] end
    return demand[8]
  end
  local over = counter.spent + counter.held + demand[4] - demand[3]
  for _, bucket in ipairs(counter.buckets) do
    over = over - bucket[2]
    if over <= 0 then return bucket[1] + demand[6] end
  end
  return 0
end

-- What these demands would get, or the index of the one that refuses, what it has, until when, and held.
local function try(demands)
  local granted = {}
  for index, demand in ipairs(demands) do
    local used, fits, grant, counter
    if demand[2] == MEMBER then
      local known = redis.call('SISMEMBER', members_key(demand), demand[12]) == 1
      used = used_of(demand)
      fits, grant = known or used < demand[3], known and 0 or 1
    else
      counter = counter_of(demand)
      used = counter.spent + counter.held
      local left = demand[3] - used
      fits, grant = left >= demand[4], math.min(demand[5], left)
    end
    if fits then
      granted[index] = grant
    elseif demand[10] then
      granted[index] = -1
    else
      return nil, index, used, counter and fits_at(counter, demand) or 0, counter and counter.held or 0
    end
  end
  return granted
end

local function slot_key(id) return 'sy:s:' .. string.format('%.0f', id) end

-- candidate: id, slots, cost, demands
local function choose(candidates)
  local soonest, frees = 0, false
  for _, candidate in ipairs(candidates) do
    local free = candidate[2] < 0
      or tonumber(redis.call('GET', slot_key(candidate[1])) or 0) < candidate[2]
    if free then
      local granted, index, used, at, held = try(candidate[4])
      if granted then return candidate, granted end
      local demand = candidate[4][index]
      frees = frees or used - held + demand[4] <= demand[3]
      if at ~= 0 and (soonest == 0 or at < soonest) then soonest = at end
    else
      frees = true
    end
  end
  return nil, soonest, frees
end

local function take(demand, granted, holds, of_slot)
  if granted < 0 then return end
  if demand[2] == MEMBER then
    if granted > 0 then redis.call('SADD', members_key(demand), demand[12]) end
    return
  end
  local counter = loaded[demand[1]]
  counter.touched = now
  changed[demand[1]] = true
  if demand[2] == COUNT then
    spend(demand[1], counter, demand[6], granted)
  else
    counter.held = counter.held + granted
  end
  counter.flying = counter.flying + 1
  holds[#holds + 1] = {demand[1], demand[2], counter.epoch, granted, demand[6], of_slot, demand[11]}
end

local function take_slot(candidate, granted, holds)
  redis.call('INCR', slot_key(candidate[1]))
  for index, demand in ipairs(candidate[4]) do take(demand, granted[index], holds, true) end
end

local function free_slot(id)
  if id ~= 0 and redis.call('DECR', slot_key(id)) <= 0 then redis.call('DEL', slot_key(id)) end
end

-- ticket: state, worker, slot, lost tokens, lost cost, holds
local function read_ticket(id)
  local text = redis.call('GET', 'sy:t:' .. id)
  return text and cmsgpack.unpack(text)
end

local function write_ticket(id, ticket, kept) redis.call('SET', 'sy:t:' .. id, cmsgpack.pack(ticket), 'PX', kept) end

-- hold: counter, how, epoch, amount, window, of_slot, seeded
-- settled: tokens, cost, slot tokens, slot cost, sent, slot sent
local function amount_of(hold, settled)
  if hold[2] == TOKENS then return hold[6] and settled[3] or settled[1] end
  return hold[6] and settled[4] or settled[2]
end

local function give_back(hold, settled)
  local counter = load(hold[1])
  if not counter or counter.epoch ~= hold[3] then return end
  counter.touched = now
  changed[hold[1]] = true
  counter.flying = math.max(0, counter.flying - 1)
  if hold[2] == COUNT then
    if not settled[5] or (hold[6] and not settled[6]) then unspend(hold[1], counter, hold[5], hold[4]) end
    return
  end
  counter.held = math.max(0, counter.held - hold[4])
  if hold[2] ~= HOLD and (counter.seeded or not hold[7]) then
    spend(hold[1], counter, hold[5], amount_of(hold, settled))
  end
end

local function correct_hold(hold, ticket, settled)
  local counter = load(hold[1])
  if not counter or counter.epoch ~= hold[3] or hold[2] == COUNT or hold[2] == HOLD then return end
  local difference = amount_of(hold, settled) - (hold[2] == TOKENS and ticket[4] or ticket[5])
  if difference > 0 then
    spend(hold[1], counter, hold[5], difference)
  else
    unspend(hold[1], counter, hold[5], -difference)
  end
end

local operations = {}

function operations.admit(generation, worker, id, lost_tokens, demands, candidates)
  if redis.call('GET', 'sy:generation') ~= generation then return answer('lost') end
  local lease = redis.call('ZSCORE', 'sy:workers', worker)
  if not lease or tonumber(lease) <= now then return answer('lost') end
  if redis.call('EXISTS', 'sy:t:' .. id) == 1 then return answer('void') end
  for index, demand in ipairs(demands) do
    if demand[2] == MEMBER then -- a name that may not join makes no counters of its own
      if demand[11] and not is_seeded(demand) then return answer('unseeded', {demand[1]}) end
      local known = redis.call('SISMEMBER', members_key(demand), demand[12]) == 1
      local used = used_of(demand)
      if not demand[10] and not known and used >= demand[3] then
        return answer('refused', index - 1, used, 0, 0, now)
      end
    end
  end
  local found = {}
  note_unseeded(demands, found)
  for _, candidate in ipairs(candidates) do note_unseeded(candidate[4], found) end
  if #found > 0 then return answer('unseeded', found) end
  local granted, index, used, resets_at, held = try(demands)
  if not granted then return answer('refused', index - 1, used, held, resets_at, now) end
  local candidate, slot_granted, frees = choose(candidates)
  if not candidate then return answer('full', slot_granted, frees) end
  local holds, counts = {}, {}
  for at, demand in ipairs(demands) do take(demand, granted[at], holds, false) end
  take_slot(candidate, slot_granted, holds)
  write_ticket(id, {OPEN, worker, candidate[1], lost_tokens, candidate[3], holds}, KEPT)
  redis.call('SADD', 'sy:w:' .. worker, id)
  for at, demand in ipairs(demands) do counts[at] = used_of(demand) end
  return answer('admitted', candidate[1], granted, counts, now, holds, candidate[3])
end

function operations.move(id, candidates, settled)
  local ticket = read_ticket(id)
  if not ticket or ticket[1] ~= OPEN then return answer('moved', 0) end
  free_slot(ticket[3])
  local kept = {}
  for _, hold in ipairs(ticket[6]) do
    if hold[6] then give_back(hold, settled) else kept[#kept + 1] = hold end
  end
  ticket[6], ticket[3] = kept, 0
  local candidate, granted = choose(candidates)
  if candidate then
    take_slot(candidate, granted, kept)
    ticket[3], ticket[5] = candidate[1], candidate[3]
  end
  write_ticket(id, ticket, KEPT)
  return answer('moved', ticket[3], kept)
end

function operations.settle(id, settled, void)
  local ticket = read_ticket(id)
  if not ticket then
    -- an admission that nobody waits for any more may still be on its way
    if void then write_ticket(id, {VOIDED}, VOID) end
    return answer('settled')
  end
  if ticket[1] == OPEN then
    free_slot(ticket[3])
    for _, hold in ipairs(ticket[6]) do give_back(hold, settled) end
    redis.call('SREM', 'sy:w:' .. ticket[2], id)
  elseif ticket[1] == EXPIRED then
    for _, hold in ipairs(ticket[6]) do correct_hold(hold, ticket, settled) end
  end
  if ticket[1] ~= VOIDED then redis.call('DEL', 'sy:t:' .. id) end
  return answer('settled')
end

local function expire(id)
  local ticket = read_ticket(id)
  if not ticket or ticket[1] ~= OPEN then return end
  free_slot(ticket[3])
  local lost = {ticket[4], ticket[5], ticket[4], ticket[5], true, true}
  for _, hold in ipairs(ticket[6]) do give_back(hold, lost) end
  ticket[1], ticket[3] = EXPIRED, 0
  write_ticket(id, ticket, TOMBSTONE)
end

local function forget_everything()
  local names = redis.call('KEYS', 'sy:*')
  for at = 1, #names, 1000 do redis.call('UNLINK', unpack(names, at, math.min(at + 999, #names))) end
end

function operations.heartbeat(worker, lasts, fresh_generation, run, behind)
  -- Another server, or this one started again from an older copy: the ledger knows better what was used.
  if redis.call('GET', 'sy:run') ~= run then
    forget_everything()
    redis.call('SET', 'sy:run', run)
  end
  redis.call('SET', 'sy:generation', fresh_generation, 'NX')
  redis.call('HSET', 'sy:behind', worker, behind)
  local last = tonumber(redis.call('GET', 'sy:beat') or now)
  redis.call('SET', 'sy:beat', now)
  if now - last > SILENCE then
    -- nobody could be heard: that says nothing of who died
    for _, name in ipairs(redis.call('ZRANGE', 'sy:workers', 0, -1)) do
      redis.call('ZADD', 'sy:workers', 'GT', now + lasts, name)
    end
  end
  redis.call('ZADD', 'sy:workers', now + lasts, worker)
  local left = MOST_EXPIRED
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', 'sy:workers', '-inf', now)) do
    local ids = redis.call('SRANDMEMBER', 'sy:w:' .. dead, left)
    for _, id in ipairs(ids) do
      expire(id)
      redis.call('SREM', 'sy:w:' .. dead, id)
    end
    left = left - #ids
    if redis.call('EXISTS', 'sy:w:' .. dead) == 0 then
      redis.call('ZREM', 'sy:workers', dead)
      redis.call('HDEL', 'sy:behind', dead)
    end
    if left <= 0 then break end
  end
  return answer('beat', redis.call('GET', 'sy:generation'), redis.call('ZCARD', 'sy:workers'), now)
end

-- A worker that stops in peace has no tickets left.
function operations.leave(worker)
  if redis.call('EXISTS', 'sy:w:' .. worker) == 0 then redis.call('ZREM', 'sy:workers', worker) end
  redis.call('HDEL', 'sy:behind', worker)
  return answer('left')
end

-- What an expired ticket was charged is taken back, for it is in flight after all.
local function reopen(id, ticket)
  for _, hold in ipairs(ticket[6]) do
    local counter = load(hold[1])
    if counter and counter.epoch == hold[3] then
      if hold[2] ~= COUNT then
        if hold[2] ~= HOLD and (counter.seeded or not hold[7]) then
          unspend(hold[1], counter, hold[5], hold[2] == TOKENS and ticket[4] or ticket[5])
        end
        counter.held = counter.held + hold[4]
      end
      counter.flying = counter.flying + 1
      changed[hold[1]] = true
    end
  end
end

-- `recount`: this server was emptied, so that requests in flight are counted nowhere.
function operations.restore(worker, tickets, recount)
  for _, entry in ipairs(tickets) do
    local id, slot, lost_tokens, lost_cost, holds = unpack(entry)
    local ticket = read_ticket(id)
    if not ticket or ticket[1] == EXPIRED then
      if ticket then
        reopen(id, ticket)
        holds = ticket[6]
      else
        for _, hold in ipairs(holds) do
          local counter = load(hold[1], hold[3])
          enter(hold[1], counter, hold[3])
          if counter.epoch == hold[3] then
            if hold[2] ~= COUNT then
              counter.held = counter.held + hold[4]
            elseif recount then
              spend(hold[1], counter, hold[5], hold[4])
            end
            counter.flying = counter.flying + 1
            changed[hold[1]] = true
          end
        end
      end
      if slot ~= 0 then redis.call('INCR', slot_key(slot)) end
      write_ticket(id, {OPEN, worker, slot, lost_tokens, lost_cost, holds}, KEPT)
      redis.call('SADD', 'sy:w:' .. worker, id)
    end
  end
  return answer('restored')
end

-- Put older amounts of a rolling window among those that are there.
local function merge(name, counter, buckets)
  local all, sum = counter.buckets, 0
  for _, bucket in ipairs(buckets) do all[#all + 1] = bucket end
  table.sort(all, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for _, bucket in ipairs(all) do sum = sum + bucket[2] end
  counter.spent = sum
  changed[name] = true
end

-- seed: counter, epoch, spent, buckets, members
local function tell(seed)
  local name, epoch = seed[1], seed[2]
  if #seed[5] > 0 then
    redis.call('SADD', 'sy:m:' .. name, unpack(seed[5]))
    redis.call('PEXPIRE', 'sy:m:' .. name, KEPT)
    return
  end
  local counter = load(name, epoch)
  enter(name, counter, epoch)
  if counter.seeded then return end
  counter.seeded, counter.touched = true, now
  changed[name] = true
  if counter.epoch == epoch then
    counter.spent = counter.spent + seed[3]
    if #seed[4] > 0 then merge(name, counter, seed[4]) end
  end
end

function operations.seed(seeds)
  for _, seed in ipairs(seeds) do tell(seed) end
  return answer('seeded')
end

function operations.correct(seeds, behind)
  local restless = {}
  for _, lag in ipairs(redis.call('HVALS', 'sy:behind')) do behind = math.max(behind, tonumber(lag)) end
  for _, seed in ipairs(seeds) do
    local counter = load(seed[1])
    if not counter or not counter.seeded then
      tell(seed)
      restless[#restless + 1] = seed[1]
    elseif counter.epoch == seed[2] then
      local quiet = counter.flying == 0 and counter.held == 0 and counter.touched + QUIET <= now and behind < QUIET
      counter.spent = quiet and seed[3] or math.max(counter.spent, seed[3])
      changed[seed[1]] = true
      if not quiet then restless[#restless + 1] = seed[1] end
    end
  end
  return answer('corrected', restless)
end

-- What a worker used while it counted alone; sent again under its id until it is confirmed.
function operations.charge(id, holds, rolls)
  if not redis.call('SET', 'sy:d:' .. id, 1, 'NX', 'PX', TOMBSTONE) then return answer('charged') end
  for _, hold in ipairs(holds) do
    local counter = load(hold[1])
    if counter and counter.epoch == hold[3] and (counter.seeded or not hold[7]) then
      spend(hold[1], counter, hold[5], hold[4])
    end
  end
  for _, roll in ipairs(rolls) do
    local counter = load(roll[1])
    if counter and counter.epoch == roll[2] and (counter.seeded or not roll[3]) then
      merge(roll[1], counter, roll[4])
    end
  end
  return answer('charged')
end

function operations.peek(demands)
  local found, counts = {}, {}
  note_unseeded(demands, found)
  if #found > 0 then return answer('unseeded', found) end
  for at, demand in ipairs(demands) do
    if demand[2] == MEMBER then
      counts[at] = redis.call('SISMEMBER', members_key(demand), demand[12])
    else
      counter_of(demand)
      counts[at] = used_of(demand)
    end
  end
  return answer('peeked', counts, now)
end

return operations[operation](unpack(arguments, 3))
