"""What OpenCue would be sent for an outline of ours: `outline_xml.py OUTLINE` prints the real package's XML."""

import importlib.util
import sys

import outline.cuerun
from outline.backend import cue

spec = importlib.util.spec_from_file_location("job", sys.argv[1])
job = importlib.util.module_from_spec(spec)
spec.loader.exec_module(job)
built = job.build()
launcher = outline.cuerun.OutlineLauncher(built, use_pycuerun=False)
built.setup()
print(cue.serialize_simple(launcher))
