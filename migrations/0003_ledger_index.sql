-- No question is asked of attempts by key: usage_hourly answers those. The index cost a fifth of a row's write.
DROP INDEX claude_proxy.attempts_by_key;
