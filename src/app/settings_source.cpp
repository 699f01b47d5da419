#include "app/settings_source.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "aws/client.hpp"

namespace app {
namespace {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;
using trouble = settings_source::trouble;

constexpr std::uint64_t answer_bytes_max = 1ull << 20;  // a secret of 64 KiB with every byte escaped, and its frame

// The region in arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME; empty: it is no ARN.
std::string_view region_in(std::string_view id) {
    if (!id.starts_with("arn:")) return {};
    for (int part = 0; part < 3; ++part) id.remove_prefix(std::min(id.find(':'), id.size() - 1) + 1);
    return id.substr(0, id.find(':'));
}

aws::options patient(aws::options of) {
    of.call_timeout = settings_source::call_timeout;
    of.answer_bytes_max = answer_bytes_max;
    return of;
}

std::string_view cure_of(const aws::failure& problem) {
    if (problem.code == "ResourceNotFoundException") return "make it, or correct CLAUDE_PROXY_SECRETS or AWS_REGION";
    if (problem.code.starts_with("AccessDenied"))
        return "let the role have secretsmanager:GetSecretValue on it, and kms:Decrypt on its key";
    if (problem.code == "DecryptionFailure")
        return "let the role have kms:Decrypt on the secret's key, which must be enabled";
    if (problem.code == "InvalidRequestException") return "it may be about to be deleted: restore it";
    if (problem.code.empty() && problem.may_retry)
        return "check AWS_REGION, the endpoint and the way there, or come again";
    return "check AWS_REGION, the endpoint and the role's credentials";
}

}  // namespace

// The one secret, and how it is asked for.
class settings_source::secret {
public:
    // Throws aws::failure: the region or an endpoint is missing or wrong.
    explicit secret(const config::settings& of)
        : id_(of.secrets.id),
          client_(patient(of.aws)),
          at_(aws::service_of(of.aws, "secretsmanager", "1.1",
                              region_in(id_).empty() ? aws::region_of(of.aws) : region_in(id_))) {}

    std::string name() const { return fmt::format("{} in {}", id_, at_.region); }
    void stop() { client_.stop(); }

    // What GetSecretValue answers. Throws aws::failure.
    std::string ask(milliseconds patience) {
        const auto until = clock::now() + patience;
        const std::string body = boost::json::serialize(boost::json::object{{"SecretId", id_}});
        for (std::uint32_t attempt = 1;; ++attempt) {
            try {
                return client_.json_call(at_, "secretsmanager.GetSecretValue", body,
                                         {.attempts_max = 1, .ends_at_stop = true});
            } catch (const aws::failure& problem) {
                const bool again = problem.may_retry && problem.code != aws::failure::stopped && clock::now() < until;
                if (!again || !client_.back_off(attempt, true)) throw;
            }
        }
    }

private:
    const std::string id_;
    aws::client client_;
    const aws::service at_;
};

settings_source::settings_source(config::environment process, std::string env_file)
    : process_(std::move(process)), env_file_(std::move(env_file)) {}

settings_source::~settings_source() = default;

std::string settings_source::name() const { return secret_ ? secret_->name() : "the environment"; }

void settings_source::stop() {
    if (secret_) secret_->stop();
}

std::expected<config::environment, settings_source::failure> settings_source::environment_now() const {
    config::environment made = process_;
    if (access(env_file_.c_str(), F_OK) != 0) return made;
    const auto from_file = config::read_env_file(env_file_);
    if (!from_file)
        return std::unexpected(failure{trouble::broken, false, {fmt::format("{}: {}", env_file_, from_file.error())}});
    for (const auto& [name, value] : *from_file) made.emplace(name, value);
    return made;
}

std::expected<config::settings, settings_source::failure> settings_source::read_without_secret() const {
    const auto given = environment_now();
    if (!given) return std::unexpected(given.error());
    auto made = config::load(*given, config::purpose::administer);
    if (!made) return std::unexpected(failure{trouble::broken, false, std::move(made.error())});
    return std::move(*made);
}

std::expected<settings_source::reading, settings_source::failure> settings_source::read(config::purpose use,
                                                                                        milliseconds patience) {
    const auto given = environment_now();
    if (!given) return std::unexpected(given.error());
    reading made;
    if (!is_known_) {
        // What a server needs besides may be in the secret: it is not asked for yet.
        const auto first = config::load(*given, config::purpose::administer);
        if (first && !first->secrets.id.empty()) {
            try {
                secret_ = std::make_unique<secret>(*first);
            } catch (const aws::failure& problem) {
                return std::unexpected(
                    failure{trouble::refused,
                            true,
                            {fmt::format("CLAUDE_PROXY_SECRETS: {}: {}.", first->secrets.id, problem.what())}});
            }
        }
        is_known_ = first.has_value();
    }
    config::environment members;
    if (secret_) {
        const auto fail = [this](trouble what, std::string_view text) {
            return std::unexpected(
                failure{what, true, {fmt::format("CLAUDE_PROXY_SECRETS: the secret {} {}.", name(), text)}});
        };
        std::string body;
        try {
            body = secret_->ask(patience);
        } catch (const aws::failure& problem) {
            return fail(problem.may_retry ? trouble::away : trouble::refused,
                        fmt::format("cannot be had: {}; {}", problem.what(), cure_of(problem)));
        }
        auto answer = read_secret_answer(body);
        if (!answer) return fail(trouble::broken, answer.error());
        auto document = read_secret_document(answer->text);
        if (!document) return fail(trouble::broken, document.error());
        members = std::move(document->members);
        for (const auto& [name, value] : members) made.members.push_back(name);
        made.ignored = std::move(document->ignored);
        made.version = std::move(answer->version);
    }
    auto loaded = config::load(*given, use, members);
    if (!loaded) return std::unexpected(failure{trouble::broken, false, std::move(loaded.error())});
    made.settings = std::move(*loaded);
    if (!made.ignored.empty()) {
        made.settings.warnings.push_back(fmt::format(
            "the secret {} has members that are no secrets of this program and are ignored: {}; settings that are no "
            "secrets belong in the environment.",
            name(), fmt::join(made.ignored, ", ")));
    }
    return made;
}

}  // namespace app
