"""Runs every test of this folder: two halves side by side, each against a service and in a browser of its own."""

import multiprocessing
import os
import pathlib
import sys
import time
import traceback

from playwright.sync_api import expect, sync_playwright

import harness
import pages_all
import page_about
import page_acting
import page_backload
import page_docs
import page_gantt
import page_layout
import page_log
import page_tasks
import page_walk
import page_windows
import page_workflow
import service

# Each takes half of the time.
HALVES = [
    [pages_all, page_layout],
    [page_walk, page_tasks, page_workflow, page_gantt, page_backload, page_about, page_acting, page_docs, page_log,
     page_windows],
]


def tests(modules, word):
    for module in modules:
        for name, test in vars(module).items():
            if name.startswith("test_") and word in name:
                yield name, test


def run(browser, served, shots, chosen):
    passed, failed = 0, 0
    for name, test in chosen:
        begun = time.monotonic()
        person = harness.Person(browser, served, shots)
        try:
            test(person)
            person.close()
            passed += 1
            print(f"ok      {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Exception:  # noqa: BLE001 - every failure is told, whatever it is
            failed += 1
            person.shoot(f"failed-{name}")
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
            person.give_up()
    return passed, failed


def run_half(program, shots, chosen):
    """How many tests passed, and how many failed."""
    served = service.Service(program)
    try:
        served.first = service.seed(served)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(**harness.browser())
            counts = run(browser, served, shots, chosen)
            browser.close()
            return counts
    finally:
        served.close()


def main():
    program, word = sys.argv[1], sys.argv[2]
    shots = pathlib.Path(os.environ["CARGO_TARGET_DIR"], "browser", "shots")
    shots.mkdir(parents=True, exist_ok=True)
    # Five seconds are few on a machine that builds an image meanwhile.
    expect.set_options(timeout=20_000)
    halves = [(program, shots, chosen) for modules in HALVES if (chosen := list(tests(modules, word)))]
    with multiprocessing.Pool(len(HALVES)) as pool:
        counts = pool.starmap(run_half, halves, chunksize=1)
    passed, failed = (sum(count) for count in zip((0, 0), *counts))
    print(f"screenshots: {shots}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
