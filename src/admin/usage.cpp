// What was used and what it cost: /admin/v1/usage, /admin/v1/requests/{id}.
#include "admin/routes.hpp"
namespace admin {
base::result<reply> report_usage(const request&, workbench&) { return base::fail(base::errc::not_found); }
base::result<reply> explain_request(const request&, workbench&) { return base::fail(base::errc::not_found); }
}
