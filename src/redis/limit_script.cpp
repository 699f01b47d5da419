#include "redis/limit_script.hpp"

namespace redis {

// Numbers in Lua are doubles: times count from 2023, so that they are exact to a sixty-fourth of a microsecond.
// `0.01`: a bucket that lacks a hundredth of a request to its next one has it, since times are rounded.
// What is granted ahead is a sixteenth of what is left, so that slices shrink near the limit; from half of it on it is
// at most a four-hundredth of the limit, so that what four idle replicas hold is one part in a hundred.
const std::string_view limit_script = R"lua(
local minute, epoch = 60000000, 1700000000
local key, mine, lease = KEYS[1], 'place:' .. ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = (tonumber(time[1]) - epoch) * 1000000 + tonumber(time[2])

local function granted_of(limit, there, want, need, ahead)
  local granted = 0
  if want > 0 and there >= need then granted = math.max(0, math.min(want, there)) end
  ahead = math.min(ahead, math.floor((there - granted) / 16))
  if there < limit / 2 then ahead = math.min(ahead, math.floor(limit / 400)) end
  return granted + math.max(0, ahead)
end

local answer, longest = {}, 0
local names = {'requests', 'input', 'output'}
local known = redis.call('HMGET', key, names[1], names[2], names[3])
for i, name in ipairs(names) do
  local asked = {}
  for j = 1, 6 do asked[j] = tonumber(ARGV[2 + (i - 1) * 6 + j]) end
  local per_minute, charge, need, want, ahead, missing_min = unpack(asked)
  local granted, missing = 0, 0
  if per_minute > 0 then
    local each = minute / per_minute
    missing = math.max((tonumber(known[i]) or now) - now, missing_min)
    missing = math.max(0, missing + charge * each)
    granted = granted_of(per_minute, math.floor((minute - missing) / each + 0.01), want, need, ahead)
    missing = missing + granted * each
    if missing > 0 then
      redis.call('HSET', key, name, string.format('%.3f', now + missing))
    elseif known[i] then
      redis.call('HDEL', key, name)
    end
    longest = math.max(longest, missing)
  end
  answer[2 * i - 1] = granted
  answer[2 * i] = math.ceil(missing * 1000)
end

local granted, free = 0, 0
local places, held, want, ahead = tonumber(ARGV[21]), tonumber(ARGV[22]), tonumber(ARGV[23]), tonumber(ARGV[24])
if places > 0 then
  free = places - held
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 6) == 'place:' and all[i] ~= mine then
      local count, ends = string.match(all[i + 1], '^(%d+) (%d+)$')
      if tonumber(ends) > now then free = free - tonumber(count) else redis.call('HDEL', key, all[i]) end
    end
  end
  granted = granted_of(places, free, want, 1, ahead)
  free = free - granted
  if held + granted > 0 then
    redis.call('HSET', key, mine, string.format('%d %d', held + granted, now + lease))
    longest = math.max(longest, lease)
  else
    redis.call('HDEL', key, mine)
  end
end
answer[7], answer[8] = granted, free
if longest > 0 then redis.call('PEXPIRE', key, math.ceil(longest / 1000) + 1000) end
return answer
)lua";

std::vector<std::string> script_words(std::string_view key, std::string_view replica, std::int64_t lease_us,
                                      const governance::shared_request& asked) {
    std::vector<std::string> words{"1", std::string(key), std::string(replica), std::to_string(lease_us)};
    for (const auto& bucket : asked.buckets) {
        for (const auto number :
             {bucket.per_minute, bucket.charge, bucket.need, bucket.want, bucket.ahead, bucket.missing_us_min})
            words.push_back(std::to_string(number));
    }
    for (const auto number : {asked.places_max, asked.places_held, asked.places_want, asked.places_ahead})
        words.push_back(std::to_string(number));
    return words;
}

std::optional<governance::shared_answer> read_answer(std::span<const std::int64_t> numbers) {
    governance::shared_answer said;
    if (numbers.size() != 2 * said.buckets.size() + 2) return {};
    for (std::size_t i = 0; i < said.buckets.size(); ++i)
        said.buckets[i] = {.granted = numbers[2 * i], .missing_ns = numbers[2 * i + 1]};
    said.places_granted = numbers[6];
    said.places_free = numbers[7];
    return said;
}

}  // namespace redis
