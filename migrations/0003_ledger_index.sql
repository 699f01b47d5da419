-- No question is asked of attempts by key: usage_hourly answers those. The index cost a fifth of a row's write.
-- only: postgres
-- Behind a long reader of the ledger this would wait, and every writer of it behind this.
SET LOCAL lock_timeout = '5s';
-- all
DROP INDEX claude_proxy.attempts_by_key;
