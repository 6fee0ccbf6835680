"""The machine as the kernel reports it: topology, processor time, memory, threads, cgroups, energy, memory bandwidth."""
