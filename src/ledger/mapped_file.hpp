// A file of fixed size that is mapped into memory for reading and writing, all of it allocated on the disk beforehand,
// so that a store never meets a full disk (which would be a SIGBUS).
//
// What is stored survives the process however it ends; `sync` makes it survive the machine. Functions throw
// std::system_error where not said otherwise. Thread rule: as memory; `sync` and `populate` from any thread.
#pragma once

#include <cstddef>
#include <string>

namespace ledger {

class mapped_file {
public:
    // A new file of zeros; nothing is left behind on failure.
    static mapped_file create(std::string path, std::size_t bytes);
    static mapped_file open(std::string path);  // an existing one, whole

    mapped_file(mapped_file&& from) noexcept;
    mapped_file& operator=(mapped_file&&) = delete;
    ~mapped_file();  // unmaps, keeps the file

    std::byte* data() const { return data_; }
    std::size_t size() const { return bytes_; }
    const std::string& path() const { return path_; }

    void sync(std::size_t offset, std::size_t bytes) const;
    // Makes the pages of a range present, so that the first store into them is no page fault. Best effort.
    void populate(std::size_t offset, std::size_t bytes) const noexcept;
    // Gives the pages back to the kernel's cache, from where they come again at the next touch: nothing is lost.
    void forget() const noexcept;
    void remove() const noexcept;  // the name; the memory stays mapped

private:
    mapped_file(std::string path, std::byte* data, std::size_t bytes)
        : path_(std::move(path)), data_(data), bytes_(bytes) {}

    std::string path_;
    std::byte* data_;
    std::size_t bytes_;
};

}  // namespace ledger
