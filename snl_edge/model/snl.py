"""SNL: teacher, student, memory, anomaly map and product recognition put together."""

from __future__ import annotations

from torch import Tensor, nn

from .anomaly_map import AnomalyMap, cosine_distance
from .config import SnlConfig
from .memory_bank import MemoryBank
from .recognition import Recognition
from .student import ForwardStudent, ReverseStudent
from .teacher import Teacher


class Snl(nn.Module):
    """Structural Teacher-Student Normality Learning (Deng & Li, arXiv 2402.17091), as reconstructed here.

    Args:
        config: what to build.
        products: number of products that recognition tells apart.
        pretrained: load the teacher's ImageNet weights; off when a checkpoint will fill them in.

    Raises:
        ConfigError: the teacher's architecture cannot serve.
        CheckpointError: its weights are not available.
    """

    def __init__(self, config: SnlConfig, *, products: int = 1, pretrained: bool = True) -> None:
        super().__init__()
        self.config = config
        self.teacher = Teacher(config.teacher, pretrained=pretrained)
        if config.student.direction == "reverse":
            self.student: nn.Module = ReverseStudent(self.teacher.channels, config.student)
        else:
            self.student = ForwardStudent(self.teacher.channels, config.student, config.teacher)
        expects = config.anomaly_map.surprise > 0
        self.memory = (
            MemoryBank(self.teacher.channels, config.memory, products, expects=expects) if config.memory else None
        )
        descriptors = len(config.memory.descriptors) if config.memory else 0
        self.anomaly_map = AnomalyMap(config.size, config.anomaly_map, descriptors=descriptors)
        self.recognition = Recognition(self.teacher.channels, products)

    def run_student(self, pixels: Tensor | None, features: list[Tensor]) -> list[Tensor]:
        """What the student makes of the image: of its pixels (forward) or of the teacher's features (reverse)."""
        return self.student(features if isinstance(self.student, ReverseStudent) else pixels)

    def student_distances(self, pixels: Tensor | None, features: list[Tensor]) -> list[Tensor]:
        """How far the student is from the teacher at strides 4, 8, 16, ``float32 [B, H/s, W/s]`` each."""
        student = self.run_student(pixels, features)
        return [cosine_distance(t.float(), s.float()) for t, s in zip(features, student, strict=True)]

    def distances(
        self, pixels: Tensor, features: list[Tensor], product: Tensor, left_out: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor | None]:
        """What the map is made of: distances of student from teacher at strides 4, 8, 16, then the memory's.

        ``float32 [B, H/s, W/s]`` each. Beside them what is expected of the first three, ``float32 [B, H/8, W/8, 3]``,
        if the memory knows. ``product``, ``int32 [B]``, says what each image was recognised as; ``left_out`` is as in
        :meth:`snl_edge.model.memory_bank.MemoryBank.forward`.
        """
        apart = self.student_distances(pixels, features)
        if self.memory is None:
            return apart, None
        found = self.memory(features, product, left_out)
        return [*apart, *found.distances], found.expected

    def forward(self, images: Tensor, left_out: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``uint8 [B, H, W, 3]`` RGB to raw anomaly map, raw score, product and product distance.

        These are ``float32 [B, H, W]``, ``float32 [B]``, ``int32 [B]`` and ``float32 [B]``. ``left_out``, ``int32
        [B]``, numbers training images that the memory must judge without their own patches.
        """
        pixels = self.teacher.normalise(images)
        features = self.teacher(pixels)
        product, distance = self.recognition(features)
        distances, expected = self.distances(pixels, features, product, left_out)
        return *self.anomaly_map(distances, product, expected), product, distance
