"""What makes a service of the commands: logs, metrics, notifications, the schedule and the workers."""
