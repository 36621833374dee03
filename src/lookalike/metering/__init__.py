"""What hosted models were used for: a log that every process adds to, and a budget that one run keeps to.

vectorizer --require, record--> Meter --> Budget (in this process, may refuse)
                                      --> UsageLog (SQLite, never stops a job)
"""
