"""The main job on this machine: two hosts, eight faults, nothing lost."""
