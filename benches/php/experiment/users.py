"""Users of a site who look at one recorded page after the other, and think in between.

Locust runs them. PAGES is the number of pages, THINK the mean number of seconds that a user thinks. One line of JSON goes to the
standard output when all users are there, and one for each page: when it was answered, in how many milliseconds, and whether it was.
"""

import json
import os
import random
import sys
import time

from locust import FastHttpUser, events, task

PAGES = int(os.environ["PAGES"])
THINK = float(os.environ["THINK"])


def tell(**what):
    sys.__stdout__.write(json.dumps(what) + "\n")
    sys.__stdout__.flush()


@events.spawning_complete.add_listener
def all_there(**_):
    tell(users=True)


@events.request.add_listener
def answered(response_time, exception, **_):
    tell(at=time.time(), ms=response_time, failed=exception is not None)


class User(FastHttpUser):
    connection_timeout = network_timeout = 10.0

    def on_start(self):
        self.page = random.randrange(PAGES)

    def wait_time(self):
        return random.uniform(0.5, 1.5) * THINK

    @task
    def look(self):
        self.page = (self.page + 1) % PAGES
        self.client.get(f"/?page={self.page}", name="page")
