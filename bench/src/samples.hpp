// Times in microseconds, kept one by one, printed as one member of a JSON object.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

namespace bench {

class samples {
public:
    void add(std::uint64_t us) {
        values_.push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(us, 0xffff'ffffu)));
    }

    void print(const char* name) {
        std::sort(values_.begin(), values_.end());
        double sum = 0;
        for (const auto value : values_) sum += value;
        printf(",\"%s\":{\"n\":%zu,\"mean\":%.1f", name, values_.size(),
               values_.empty() ? 0 : sum / static_cast<double>(values_.size()));
        for (const auto& [label, share] :
             {std::pair{"p50", .5}, {"p90", .9}, {"p95", .95}, {"p99", .99}, {"p999", .999}}) {
            printf(",\"%s\":%u", label, at(share));
        }
        printf(",\"max\":%u}", values_.empty() ? 0u : values_.back());
    }

private:
    std::uint32_t at(double share) const {
        if (values_.empty()) return 0;
        return values_[std::min(values_.size() - 1,
                                static_cast<std::size_t>(share * static_cast<double>(values_.size())))];
    }

    std::vector<std::uint32_t> values_;
};

}  // namespace bench
