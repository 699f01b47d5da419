"""The load that is put on a gateway. Every workload is one run of gwload.

The body of a stream has the mock's model name: `s10-n200` is 200 deltas, one every 10 ms; `s0` sends one write a delta
without delay; `b0` the whole stream in one write.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Workload:
    meaning: str
    mode: str  # of gwload: "req" or "sse"
    body: str  # file name without .json; for streams the mock's model name
    connections: int
    seconds: float
    total: int = 0  # requests or streams; 0: until the seconds are over
    rate: float = 0  # requests a second; 0: as fast as answers come
    ramp_ms: int = 0
    warmup: float = 0
    holds_streams: bool = False  # a fixed number of streams open at once, to measure memory
    # With the load on the other CPU alone "direct" tells what mock and load generator can carry.
    saturates: bool = False

    @property
    def is_stream(self) -> bool:
        return self.mode == "sse"

    @property
    def deltas(self) -> int:
        return int(self.body.split("-n")[1])


def held(meaning: str, streams: int, body: str, ramp_ms: int) -> Workload:
    # The total ends the run; the seconds only keep a slow ramp from being cut off.
    seconds = ramp_ms / 1000 + 20
    return Workload(meaning, "sse", body, streams, seconds, total=streams, ramp_ms=ramp_ms, holds_streams=True)


WORKLOADS = {
    "w1": Workload("1 KB in, 1.2 KB out, 64 connections", "req", "w1", 64, seconds=4, saturates=True),
    "w1lat": Workload("the same, 300 requests a second", "req", "w1", 64, seconds=5, rate=300, warmup=1),
    "w2": Workload("200 KB in, 16 connections", "req", "w2", 16, seconds=4, saturates=True),
    "w2lat": Workload("the same, 50 requests a second", "req", "w2", 16, seconds=5, rate=50, warmup=1),
    "w3b0": Workload("64 streams, all events in one write", "sse", "b0-n200", 64, seconds=3, saturates=True),
    "w3s0": Workload("64 streams, one write an event, no delay", "sse", "s0-n200", 64, seconds=4, saturates=True),
    "w3c100": Workload("100 streams, an event every 10 ms", "sse", "s10-n200", 100, seconds=5, ramp_ms=500, warmup=0.6),
    "w3c500": Workload(
        "500 streams, an event every 10 ms", "sse", "s10-n200", 500, seconds=5, ramp_ms=1000, warmup=1.2
    ),
    # 200,000 events a second: more than two cores carry even without a gateway.
    "w3x2000": Workload(
        "2,000 streams, an event every 10 ms", "sse", "s10-n200", 2000, seconds=5, ramp_ms=1000, warmup=1.5
    ),
    "w3c2000": held("2,000 streams held, an event every 50 ms", 2000, "s50-n200", ramp_ms=2000),
    # 5,000 events a second in all, so that the streams and not the events are the load.
    "w3c10000": held("10,000 streams held, an event every 2 s", 10_000, "s2000-n12", ramp_ms=8000),
    # Not counted: fills caches and connection pools of a contender that was just started.
    "warmup": Workload("1 KB in, 64 connections", "req", "w1", 64, seconds=1),
    # One connection, for the latency that a gateway adds.
    "latency": Workload("one connection, 200 requests a second", "req", "w1", 1, seconds=1.2, rate=200, warmup=0.2),
}

# strace_check.py counts by the difference between a short and a long stream.
SHORT_STREAM, LONG_STREAM = "s20-n50", "s20-n250"
STREAM_BODIES = {workload.body for workload in WORKLOADS.values() if workload.is_stream} | {SHORT_STREAM, LONG_STREAM}
