"""Steps about PyTorch on the GPU: the same graph eager, as a CUDA graph and compiled; and training."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .lines import say, saying_errors, timed_calls
from .settings import ProofSettings


def fused(settings: ProofSettings, preset: str) -> Any:
    """The fused graph's module with the bundle's random weights; TF32 off, as in our engines."""
    import torch

    from snl_edge.model.fused_graph import FusedGraph

    from ..random_models import GAIN, random_model

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = FusedGraph(random_model(settings.model(preset), 0), GAIN.gain).eval()
    return model.to(settings.torch_device).to(memory_format=torch.channels_last)


def fused_outputs(settings: ProofSettings, preset: str, images: Any) -> list[Any]:
    """Its four outputs for ``uint8 [B, H, W, 3]``, in FP32."""
    import torch

    model = fused(settings, preset)  # made outside: the teacher finds out by a gradient what it need not keep
    with torch.inference_mode():
        return [x.cpu().numpy() for x in model(torch.from_numpy(images).to(settings.torch_device))]


def pytorch(settings: ProofSettings, preset: str) -> None:
    """Batches of 1 and 8 that lie on the GPU, FP32 and FP16 by autocast: eager, CUDA graph, ``torch.compile``."""
    import torch

    model, device = fused(settings, preset), settings.torch_device
    cuda = device == "cuda"
    size = settings.model(preset).size
    half = torch.float16 if cuda else torch.bfloat16

    def ended(call: Callable[[], object]) -> Callable[[], object]:
        return (lambda: (call(), torch.cuda.synchronize())) if cuda else call

    def run(network: Any, images: Any, *, autocast: bool) -> None:
        with torch.inference_mode(), torch.autocast(device, half, enabled=autocast):
            network(images)

    def measure(what: str, images: Any, call: Callable[[], object]) -> None:
        say("pytorch", preset=preset, what=what, batch=len(images), **timed_calls(ended(call), settings.seconds))

    for batch in (1, 8):
        images = torch.randint(0, 256, (batch, *size, 3), dtype=torch.uint8, device=device)
        with saying_errors("pytorch", preset=preset, what="eager", batch=batch):
            measure("eager fp32", images, lambda images=images: run(model, images, autocast=False))
            measure("eager fp16", images, lambda images=images: run(model, images, autocast=True))
        if cuda:
            with saying_errors("pytorch", preset=preset, what="CUDA graph fp16", batch=batch):
                measure("CUDA graph fp16", images, _captured(model, images).replay)
    if settings.quick:
        return
    images = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, device=device)
    with saying_errors("pytorch", preset=preset, what="torch.compile fp16", batch=1):
        compiled: Any = torch.compile(model, mode="reduce-overhead")
        started = time.perf_counter()
        ended(lambda: run(compiled, images, autocast=True))()
        say("compile", preset=preset, seconds=round(time.perf_counter() - started, 1))
        measure("torch.compile fp16", images, lambda: run(compiled, images, autocast=True))


def _captured(model: Any, images: Any) -> Any:
    """A CUDA graph of the model; its first runs are made aside, as PyTorch's documentation of CUDA graphs asks."""
    import torch

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.autocast("cuda", torch.float16, cache_enabled=False):
        with torch.cuda.stream(aside):
            for _ in range(3):
                model(images)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(images)
    return graph


def training(settings: ProofSettings, preset: str) -> None:
    """Images a second of the real loop's step, the teacher's features from memory and computed again."""
    import torch

    from snl_edge.data.layouts import open_dataset
    from snl_edge.data.synthetic import write_synthetic_line

    from ..speed.training import snl_step

    device, cuda = settings.torch_device, settings.torch_device == "cuda"
    batch, warm, count = (4, 1, 2) if settings.quick else (16, 10, 60)
    with tempfile.TemporaryDirectory() as folder:
        line = Path(folder) / "line"
        write_synthetic_line(line, train=3 * batch, good=0, defective=0, products=["gear"])
        samples = open_dataset(line).train
        for cached in (True, False):
            with saying_errors("training", preset=preset, cached=cached):
                step = snl_step(settings.model(preset), samples, batch, cache=cached, device=device)
                for number in range(warm):
                    step(number)
                if cuda:
                    torch.cuda.synchronize()
                started = time.perf_counter()
                for number in range(warm, warm + count):
                    step(number)
                if cuda:
                    torch.cuda.synchronize()
                speed = round(count * batch / (time.perf_counter() - started), 1)
                peak = torch.cuda.max_memory_allocated() if cuda else None
                say("training", preset=preset, cached=cached, batch=batch, images_per_s=speed, peak_bytes=peak)
