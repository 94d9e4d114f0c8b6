"""The demo, while it runs."""

import signal
import subprocess


class Demo:
    """Runs until it is closed."""

    def __init__(self, program, *flags):
        command = [program, "demo", "--listen", "127.0.0.1:0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        self.url = line[line.index("http://"):].split()[0].rstrip("/")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
