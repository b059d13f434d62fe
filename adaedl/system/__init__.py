"""The machine and the process: threads, control groups, memory, files, signals and standard streams."""
