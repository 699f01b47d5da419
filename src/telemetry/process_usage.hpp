// What the kernel knows about this process, for the process_* metrics.
#pragma once

namespace telemetry {

struct process_usage {
    double cpu_seconds = 0;
    double resident_bytes = 0;
    double virtual_bytes = 0;
    double open_fds = 0;
    double max_fds = 0;
    double threads = 0;
    double start_time_seconds = 0;  // since the epoch
};

// Values that cannot be read are 0. Any thread.
process_usage read_process_usage();

}  // namespace telemetry
