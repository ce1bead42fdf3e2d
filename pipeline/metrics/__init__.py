"""What the operator watches: figures a day, and metrics for Prometheus."""
