// Every endpoint. Each handler reads what it needs from the exchange and answers it; a thrown api_error becomes the
// error envelope. The table that maps paths to them is in routes.cpp.
#pragma once

namespace sim {

struct exchange;
struct state;

void messages(exchange&);  // messages.cpp
void count_tokens(exchange&);
void list_models(exchange&);  // models.cpp
void retrieve_model(exchange&);
void create_batch(exchange&);  // batches.cpp
void list_batches(exchange&);
void retrieve_batch(exchange&);
void batch_results(exchange&);
void cancel_batch(exchange&);
void delete_batch(exchange&);
void upload_file(exchange&);  // files.cpp
void list_files(exchange&);
void retrieve_file(exchange&);
void download_file(exchange&);
void delete_file(exchange&);
void create_skill(exchange&);  // skills.cpp
void list_skills(exchange&);
void retrieve_skill(exchange&);
void delete_skill(exchange&);
void hello(exchange&);  // routes.cpp

// /sim/* and /health. False when the path is not one of ours.
bool control(exchange&);  // control.cpp

// Finishes the batches whose time has come. Lazy: called by whoever looks at batches or at the ledger.
void advance_batches(state&);  // batches.cpp

// Finds the route and runs it. Throws api_error 404 or 405.
void dispatch(exchange&);  // routes.cpp

}  // namespace sim
