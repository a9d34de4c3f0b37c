"""One drain in a process of its own, to be killed."""

from outreach_sdk.config import Settings
from outreach_sdk.engine import enrich
from outreach_sdk.wiring import open_engine

if __name__ == "__main__":
    engine = open_engine(Settings.from_env())
    enrich.THREADS = 2
    enrich.drain(engine, seconds=20)
    engine.store.close()
