"""LeRobotDataset: v3.0 written, v2.x and v3.0 read."""
