"""Puts tests/ on the path, as the other suites do, and tools/, whose view of the tree is used."""

import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(HERE, "../../tools")]
