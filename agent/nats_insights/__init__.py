"""The NATS Insights agent: audits a NATS system and publishes findings on `$INSIGHTS.>`."""

__version__ = "0.1.0"
