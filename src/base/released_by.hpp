// A deleter for what C libraries hand out: std::unique_ptr<CURL, base::released_by<curl_easy_cleanup>>.
#pragma once

namespace base {

template <auto release>
struct released_by {
    template <class T>
    void operator()(T* what) const {
        release(what);
    }
};

}  // namespace base
