"""For tests of code that uses pysup: a systemd that is not there.

    manager = fake_manager(tmp_path)
    await manager.start(App(name="web", command=("/bin/sleep", "1")))

Nothing is executed, but unit files are written (below the path given), jobs are done, and states change as they would.
"""

from pysup.testing.fake import FakeSystemd, fake_manager

__all__ = ["FakeSystemd", "fake_manager"]
