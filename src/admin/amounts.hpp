// Amounts of limits and budgets as requests carry them. Plain functions of values.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "admin/members.hpp"

namespace admin {

// Reads requests_per_minute and its like over what is there: absent ones stay, null and 0 mean no limit.
void read_amounts(members& given, governance::rate_limits& into);

// "50/month" and its like. Errors: invalid_argument, also for two of one period.
base::result<std::vector<governance::budget_amount>> read_budgets(std::span<const std::string> texts);

}  // namespace admin
