"""What the machine is: CPUs, control groups, processes, accounts, and the ground that systemd stands on.

Everything here reads /proc, /sys, /run and /etc below a ``root`` that tests can set; nothing here changes them.
"""
