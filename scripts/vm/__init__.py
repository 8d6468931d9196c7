"""The second ground for tests: Debian 13 in a virtual machine, with its own kernel, systemd 257 and cgroup v2.

``image`` makes what it boots from, once for each recipe; ``machine`` boots it and runs commands in it. To look around
yourself: ``PYTHONPATH=scripts sudo -E .venv/bin/python -m vm 'systemctl --version'``.
"""
