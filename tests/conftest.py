import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

# Whatever a test starts, and whatever keys it forgets to give: nobody asks the machine that we are on who it is.
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

# Here, since processes that run tests side by side must agree on what there is to run; each inherits it.
os.environ.setdefault("WALK_SEED", f"{random.SystemRandom().randrange(10**6)} 1 2")
os.environ.setdefault("STOKER_TEST_SEED", f"{random.SystemRandom().randrange(10**6)}")
