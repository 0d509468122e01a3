"""Teacher, students and CRAM: shapes, types, what is frozen, and what CRAM lets through."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from snl_edge.errors import CheckpointError, ConfigError
from snl_edge.model.config import CorruptionConfig, CramConfig, SnlConfig, StudentConfig, TeacherConfig, override
from snl_edge.model.cram import Cram
from snl_edge.model.presets import PRESETS, preset
from snl_edge.model.snl import Snl
from snl_edge.model.teacher import Teacher

EDGE = TeacherConfig(architecture="tf_efficientnet_lite0", weights="packaged")


def small(**student: object) -> SnlConfig:
    return SnlConfig(height=64, width=96, teacher=EDGE, student=StudentConfig(embedding=16, **student))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("direction", ["reverse", "forward"])
@pytest.mark.parametrize("cram", [None, CramConfig(centres=8)])
def test_model_maps_bytes_to_map_and_score(images, direction, cram):
    model = Snl(small(direction=direction, cram=cram)).eval()
    with torch.no_grad():
        anomaly_map, score, product, distance = model(images)
    assert anomaly_map.shape == (2, 64, 96)
    assert score.shape == (2,)
    assert anomaly_map.dtype == score.dtype == torch.float32
    torch.testing.assert_close(score, anomaly_map.flatten(1).amax(1))
    assert (product.dtype, product.shape) == (torch.int32, (2,))
    assert (distance.dtype, distance.shape) == (torch.float32, (2,))


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_only_the_student_learns(images, direction):
    model = Snl(small(direction=direction)).train()
    before = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    model(images)[0].sum().backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(p.grad is not None for p in model.student.parameters())
    # Batch statistics must not move either: the teacher stays in evaluation mode.
    assert all(torch.equal(before[name], value) for name, value in model.teacher.state_dict().items())


def test_statistics_standardise_every_channel(images):
    teacher = Teacher(EDGE)
    with torch.no_grad():
        raw = teacher.backbone(teacher.normalise(images))
        means = [f.mean((0, 2, 3)) for f in raw]
        teacher.set_statistics(means, [f.var((0, 2, 3), unbiased=False) for f in raw])
        features = teacher(teacher.normalise(images))
    for feature in features:
        assert feature.mean((0, 2, 3)).abs().max() < 1e-4
        torch.testing.assert_close(
            feature.var((0, 2, 3), unbiased=False), torch.ones(feature.shape[1]), atol=1e-2, rtol=0
        )


def test_stages_beyond_stride_16_are_cut_off():
    teacher = Teacher(EDGE)
    assert sum(p.numel() for p in teacher.parameters()) < 1e6  # of 4.7 million in the whole classifier
    names = [name for name, _ in teacher.backbone.named_parameters()]
    assert not any(name.startswith(("blocks.5", "blocks.6")) for name in names)


def test_packaged_weights_are_the_real_imagenet_network():
    timm = pytest.importorskip("timm")
    from snl_edge.model.weights import load_pretrained

    network = timm.create_model("tf_efficientnet_lite0").eval()
    load_pretrained(network, "tf_efficientnet_lite0", "packaged")
    # A trained network tells structure from noise; a wrongly ordered one gives nearly the same answer to all.
    plain = torch.zeros(1, 3, 224, 224)
    stripes = torch.ones(1, 3, 224, 224)
    stripes[..., ::8] = -1
    with torch.no_grad():
        answers = network(torch.cat([plain, stripes])).softmax(1)
    assert (answers[0] - answers[1]).abs().sum() > 0.5


def test_cram_output_is_made_of_its_prototypes():
    torch.manual_seed(0)
    cram = Cram(6, CramConfig(centres=4, residual="unit"))
    x = torch.randn(2, 6, 5, 7)
    y = cram(x)
    assert y.shape == x.shape
    # Written out location by location, as the docstring's formulas say.
    for image in range(2):
        points = x[image].flatten(1).T  # [P, C]
        assignment = (points @ cram.assignment.weight.flatten(1).T + cram.assignment.bias).softmax(1)  # [P, K]
        prototypes = []
        for k in range(4):
            weight = assignment[:, k : k + 1]
            residual = (weight * (points - cram.centres[k])).sum(0) / weight.sum()
            prototypes.append(cram.centres[k] + cram.radius * residual / residual.norm())
        torch.testing.assert_close(y[image].flatten(1).T, assignment @ torch.stack(prototypes), atol=1e-3, rtol=1e-3)


def test_cram_without_residual_forgets_what_it_never_learned():
    cram = Cram(6, CramConfig(centres=4, residual="none"))
    strange = cram(1000 * torch.randn(1, 6, 8, 8))
    assert strange.abs().max() <= cram.centres.abs().max() + 1e-4


def test_preset_names():
    assert preset("edge") is PRESETS["edge"]
    with pytest.raises(ConfigError, match=r"no preset 'egde'.*edge, balanced, accurate"):
        preset("egde")


def test_override_changes_one_setting_and_refuses_typos():
    changed = override(PRESETS["edge"], ["student.cram.centres=12", "teacher.standardise=true", "student.cram=null"])
    assert changed.student.cram is None
    assert changed.teacher.standardise
    assert override(PRESETS["edge"], ["student.cram.centres=12"]).student.cram == CramConfig(centres=12)
    with pytest.raises(ConfigError, match=r"student\.embeding"):
        override(PRESETS["edge"], ["student.embeding=3"])
    with pytest.raises(ConfigError, match="student.cram.centres"):
        override(PRESETS["edge"], ["student.cram.centres=one"])
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        override(PRESETS["edge"], ["student"])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TeacherConfig(architecture="resnet1888"), "no architecture 'resnet1888'"),
        (TeacherConfig(architecture="vit_tiny_patch16_224"), "strides 4, 8 and 16"),
        (
            TeacherConfig(architecture="resnet18", weights="packaged"),
            "no package carries weights for resnet18",
        ),
        (
            TeacherConfig(architecture="resnet18", weights="/nowhere/w.safetensors"),
            "/nowhere/w.safetensors does not exist",
        ),
    ],
)
def test_a_teacher_that_cannot_be_built_says_why(config, words):
    with pytest.raises((ConfigError, CheckpointError)) as caught:
        Teacher(config)
    assert words in str(caught.value)


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"other\.safetensors does not fit resnet18"):
        Teacher(TeacherConfig(architecture="resnet18", weights=str(path)))


def test_a_pickle_is_not_executed(tmp_path):
    import pickle

    class Attack:
        def __reduce__(self):
            return (exec, ("raise SystemExit('executed')",))

    path = tmp_path / "attack.pth"
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(CheckpointError, match="cannot read weights"):
        Teacher(TeacherConfig(architecture="resnet18", weights=str(path)))


def test_local_weights_reach_the_teacher(tmp_path):
    timm = pytest.importorskip("timm")
    full = timm.create_model("resnet18")
    path = tmp_path / "resnet18.safetensors"
    save_file(full.state_dict(), path)
    teacher = Teacher(TeacherConfig(architecture="resnet18", weights=str(path)))
    torch.testing.assert_close(teacher.backbone.layer3[0].conv1.weight, full.layer3[0].conv1.weight)


def test_settings_keep_the_names_that_earlier_runs_gave_them() -> None:
    earlier = SnlConfig.model_validate({"damage": {"paste": 0.25, "jitter": 0.5}})
    assert earlier.corruption == CorruptionConfig(paste=0.25, jitter=0.5)
    assert SnlConfig.model_validate(earlier.model_dump()) == earlier
    assert override(SnlConfig(), ["damage.paste=0.25"]) == override(SnlConfig(), ["corruption.paste=0.25"])
