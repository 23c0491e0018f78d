"""As the command line does: threads that wait for each other sleep soon (decision 0047), set before torch is loaded."""

import os

from neuronat.cohort.machine import SPIN

os.environ.setdefault(*SPIN)
