"""The part of fsck.py about what jobs of other queues are lent (lua/abroad.lua)."""
import json


def check(q):
    """Who waits for a loan has its letter under way; what is lent to another queue is asked for; the index of the
    borrowers has those alone."""
    outbox = q.index("outbox")
    for member in q.index("abroad"):
        lender, _, n = member.partition(":")
        if q.jobs.get(n, {}).get("lender") != lender:
            q.say("abroad has %s, which is no such job", member)
    for n, job in q.jobs.items():
        if job.get("state") == "waiting" and "borrows" in job and f"borrow {job['lender']} {n}" not in outbox:
            q.say("job %s waits for a loan of %s, and nobody asks there", n, job["lender"])
        if "lender" in job and f"{job['lender']}:{n}" not in q.index("abroad"):
            q.say("job %s of lender %s is not in abroad", n, job["lender"])
        for id, text in q.data.get("checkpoints:" + n, {}).items():
            for queue, _, time in [entry.partition("@") for entry in json.loads(text).get("lent", []) if "@" in entry]:
                if f"lent {queue} {n} {time}" not in outbox:
                    q.say("checkpoint %s of job %s is lent to %s, and nobody asks there", id, n, queue)
