// What both adapters keep about the transaction of their connection, so that they behave the same: transactions do not
// nest, and after a failure inside of one it can only be rolled back. Without this SQLite would go on after a failed
// statement, and a connection that was lost half-way would run the rest outside of any transaction.
#pragma once

#include <optional>
#include <string>

#include "database/connection.hpp"

namespace database {

class transaction_state {
public:
    bool is_open() const { return open_; }

    // Call before every statement.
    void check() const {
        if (broken_) throw failure(*broken_, "the transaction failed before: it can only be rolled back");
    }
    void check_begin() const {
        if (open_) throw failure(failure_kind::invalid, "a transaction is open: they do not nest");
    }
    void check_commit() const {
        if (!open_) throw failure(failure_kind::invalid, "there is no transaction to commit");
        check();
    }

    void begun() { open_ = true; }
    void ended() {
        open_ = false;
        broken_.reset();
    }
    // Call for every failure of a statement. The first one decides what later statements are told.
    void failed(failure_kind why) {
        if (open_ && !broken_) broken_ = why;
    }

private:
    bool open_ = false;
    std::optional<failure_kind> broken_;
};

}  // namespace database
