import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

# Here, since processes that run tests side by side must agree on what there is to run; each inherits it.
os.environ.setdefault("WALK_SEED", f"{random.SystemRandom().randrange(10**6)} 1 2")
os.environ.setdefault("STOKER_TEST_SEED", f"{random.SystemRandom().randrange(10**6)}")
