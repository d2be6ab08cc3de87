"""Runs the checks of all three SDKs against one emulator and prints a line for each."""

import sys
import time
import traceback
from importlib import metadata

import check_anthropic
import check_gemini
import check_openai


def main(base: str) -> int:
    failed = 0
    total = 0
    for module, package in (
        (check_anthropic, "anthropic"),
        (check_openai, "openai"),
        (check_gemini, "google-genai"),
    ):
        title = f"{package} {metadata.version(package)}"
        for name, check in vars(module).items():
            if not name.startswith("check_"):
                continue
            total += 1
            started = time.monotonic()
            try:
                check(base)
                print(f"ok    {title}: {name[6:]} ({time.monotonic() - started:.2f}s)", flush=True)
            except Exception:  # a check may fail in any way; the rest still runs
                failed += 1
                print(f"FAIL  {title}: {name[6:]}", flush=True)
                traceback.print_exc(limit=-2)
    print(f"{total - failed} of {total} checks passed", flush=True)
    if total < 30:
        print("too few checks were found: the runner is broken", flush=True)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
