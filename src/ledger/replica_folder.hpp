// The folder of one process's journal, DIR/REPLICA/, and the lock that tells whether that process lives.
//
// The lock is an flock on DIR/REPLICA/lock: it goes with the process, however that ends. Making and removing are
// ordered so that a folder that is just being made is never taken for one left behind, and so that of two processes
// that want to adopt a folder one does. Functions throw std::system_error. Thread rule: one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ledger {

class replica_folder {
public:
    // A new one: "rep_" and 24 random characters. Makes `directory` too.
    static replica_folder make(const std::string& directory);
    // One whose process is dead, now locked by us; nothing when it lives, is being adopted, or is gone.
    static std::optional<replica_folder> adopt(const std::string& directory, const std::string& replica);
    // The names of all folders, living and dead.
    static std::vector<std::string> list(const std::string& directory);

    replica_folder(replica_folder&& from) noexcept;
    replica_folder& operator=(replica_folder&&) = delete;
    ~replica_folder();  // gives the lock back

    const std::string& replica() const { return replica_; }
    const std::string& path() const { return path_; }
    std::vector<std::string> files() const;  // paths, without the lock
    void sync() const;                       // the names of files
    // Removes the folder when nothing is left in it but the lock.
    void remove_empty() const noexcept;

private:
    replica_folder(std::string replica, std::string path, int lock)
        : replica_(std::move(replica)), path_(std::move(path)), lock_(lock) {}

    std::string replica_;
    std::string path_;
    int lock_;
};

}  // namespace ledger
