// Files: uploads are digested as they stream in; only the beginning of the content is kept.
#include "files.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "exchange.hpp"
#include "handlers.hpp"
#include "multipart.hpp"
#include "pages.hpp"
#include "state.hpp"

namespace sim {

namespace {

class sha256 {
public:
    sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
    void add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
    std::string hexadecimal() {
        std::array<unsigned char, 32> digest{};
        EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr);
        std::string text;
        for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
        return text;
    }

private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string file_json(const stored_file& file) {
    return fmt::format(R"({{"id":{},"type":"file","filename":{},"mime_type":{},"size_bytes":{},"created_at":"{}",)"
                       R"("downloadable":{},"expires_at":{}}})",
                       quote(file.id), quote(file.filename), quote(file.mime_type), file.size,
                       rfc3339_micros(file.created_at), file.downloadable(), quote_or_null(file.expires_at));
}

void check_filename(std::string_view name) {
    const bool bad = name.empty() || characters(name) > 255 ||
                     name.find_first_of("<>:\"|?*\\/") != std::string_view::npos ||
                     std::ranges::any_of(name, [](char letter) { return static_cast<unsigned char>(letter) < 0x20; });
    if (bad) throw invalid("file: filename must be 1 to 255 characters, without <>:\"|?*\\/ or control characters");
}

void check_expiry(std::string_view text, stored_file& file) {
    std::uint64_t seconds = 0;
    if (!read_number(text, seconds) || seconds < 3600 || seconds > 7'776'000) {
        throw invalid("expires_in_seconds: Input should be between 3600 and 7776000");
    }
    file.expires_at = rfc3339_micros(file.created_at + std::chrono::seconds(seconds));
}

std::shared_ptr<const stored_file> find_file(exchange& ex) {
    const std::string& id = ex.ids.at(0);
    const std::lock_guard lock(ex.world.files.mutex);
    for (const auto& file : ex.world.files.newest_last) {
        if (file->id == id && file->key == ex.key) return file;
    }
    throw not_found(fmt::format("File not found: {}", id));
}

bool asks_for_beta(const request& asked) {
    return std::ranges::any_of(asked.headers, [](const header& field) {
        return field.name == "anthropic-beta" && field.value.find("files-api-2025-04-14") != std::string::npos;
    });
}

}  // namespace

void upload_file(exchange& ex) {
    const std::uint64_t bytes_max = ex.world.chosen.file_bytes_max;
    constexpr std::uint64_t envelope_bytes_max = 65536;  // of the multipart form around the file
    const api_error too_large{.status = 413, .type = "request_too_large", .message = "File exceeds the maximum size"};
    if (ex.asked.content_length.value_or(0) > bytes_max + envelope_bytes_max) throw too_large;

    auto file = std::make_shared<stored_file>();
    file->created_at = wall_clock::now();
    sha256 digest;
    std::string part_name;
    std::string field;
    bool file_seen = false;
    const form_reader reader{
        .begin =
            [&](const form_part& part) {
                part_name = part.name;
                field.clear();
                if (part_name != "file") return;
                if (file_seen) throw invalid("file: only one file may be uploaded at a time");
                file_seen = true;
                check_filename(part.filename);
                file->filename = part.filename;
                file->mime_type = part.content_type.empty() ? "application/octet-stream" : part.content_type;
            },
        .data =
            [&](std::string_view bytes) {
                if (part_name != "file") {
                    if (field.size() + bytes.size() > envelope_bytes_max) throw invalid(part_name + ": too long");
                    field += bytes;
                    return;
                }
                file->size += bytes.size();
                if (file->size > bytes_max) throw too_large;
                digest.add(bytes);
                file->content += bytes.substr(0, stored_file::content_bytes_max - file->content.size());
            },
        .end =
            [&] {
                if (part_name == "expires_in_seconds") check_expiry(field, *file);
            }};
    read_form(ex.asked, ex.body, reader);
    if (!file_seen) throw invalid("file: Field required");
    file->sha256 = digest.hexadecimal();
    file->id = unique_id("file_");
    file->key = ex.key;
    {
        const std::lock_guard lock(ex.world.files.mutex);
        auto& all = ex.world.files.newest_last;
        if (all.size() >= file_store::files_max) all.erase(all.begin());
        all.push_back(file);
    }
    ex.send_json(file_json(*file));
}

void list_files(exchange& ex) {
    const auto wanted = ex.asked.parameters("ids[]");
    std::vector<page_item> items;
    {
        const std::lock_guard lock(ex.world.files.mutex);
        const auto& all = ex.world.files.newest_last;
        for (auto file = all.rbegin(); file != all.rend(); ++file) {
            if ((*file)->key != ex.key) continue;
            if (!wanted.empty() && std::ranges::find(wanted, (*file)->id) == wanted.end()) continue;
            items.push_back({(*file)->id, file_json(**file)});
        }
    }
    ex.send_json(asks_for_beta(ex.asked) ? page_by_id(ex.asked, items) : page_by_token(ex.asked, items));
}

void retrieve_file(exchange& ex) { ex.send_json(file_json(*find_file(ex))); }

void download_file(exchange& ex) {
    const auto file = find_file(ex);
    if (!file->downloadable()) throw invalid(fmt::format("File '{}' is not downloadable.", file->id));
    ex.out.add_header("Content-Disposition", fmt::format("attachment; filename=\"{}\"", file->filename));
    ex.send(200, file->mime_type, file->content);
}

void delete_file(exchange& ex) {
    const auto file = find_file(ex);
    {
        const std::lock_guard lock(ex.world.files.mutex);
        std::erase(ex.world.files.newest_last, file);
    }
    ex.send_json(fmt::format(R"({{"id":{},"type":"file_deleted"}})", quote(file->id)));
}

}  // namespace sim
