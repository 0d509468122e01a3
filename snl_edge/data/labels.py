"""Names of folders that say what the images below are (good, defective, train, test, masks), not which product.

Nobody reads a data set's folders for us, so a folder named ``NG`` must never be taken for a product of that name: its
defects would be learned as good parts. Names are compared without case, accents, numbers and separators.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache


class Role(Enum):
    """What a folder's name says of the images in it."""

    GOOD = "good"
    DEFECT = "defective"
    TRAIN = "train"
    TEST = "test"
    VALIDATION = "validation"
    MASKS = "masks"
    IMAGES = "images"
    """A level that says nothing, such as ``Data`` or ``rgb``."""
    DEPTH = "depth"
    """Files of another sensor, such as the ``xyz`` of MVTec 3D-AD."""


SPLITS = frozenset({Role.TRAIN, Role.TEST, Role.VALIDATION})
LABELS = frozenset({Role.GOOD, Role.DEFECT})

_NAMES = {
    Role.GOOD: """
        good ok okay okey correct healthy intact clean approved go
        normal nominal pass passed accept accepted acceptable conforming conform perfect flawless
        faultless golden goods oks defectfree faultfree errorfree
        gut gute guter gutes gutteil gutteile io inordnung einwandfrei fehlerfrei fehlerlos
        bueno buenos buena buenas correcto correctos conforme conformes aceptado aceptados
        buono buoni buona buone bon bons bonne bonnes bom boa boas aprovado aprovados goed dobry dobre iyi bra
        godkand godkant hyva hyvat jo tot dat baik saglam хорошие хороший годные годный годен καλα جيد سليم ดี
        好 可 无缺陷 无瑕疵 没问题 良 良品 良好 合格 合格品 正常 正常品 正品 양품 정상 합격""",
    Role.DEFECT: """
        incorrect denied sick nogo unhealthy unclean unapproved rework ngs noks
        bad ng nok ko nio notok nogood nonconforming defect defects defective defectives anomaly anomalies anomalous
        abnormal abnormals abnormality abnormalities fault faults faulty reject rejects rejected fail fails failed
        failure failures scrap scrapped error errors flaw flaws flawed outlier outliers unacceptable
        rej kaputt schrott mangelhaft mangelhafte
        ausschuss schlecht schlechte schlechtteil schlechtteile fehler fehlerhaft fehlerhafte fehlerteil fehlerteile
        defekt defekte anomalie anomalien nichtinordnung nacharbeit
        malo malos mala malas defecto defectos defectuoso defectuosos rechazado rechazados
        difetto difetti difettoso difettosi scarto scarti anomalia anomalias
        defaut defauts defectueux mauvais rebut rebuts
        defeito defeitos defeituoso ruim reprovado reprovados rejeitado slecht afkeur zly zle wada wady brak hatali
        underkand underkant huono huonot rossz loi rusak плохие плохой брак негодные дефект дефекты ελαττωματικα
        معيب เสีย 坏 不可 有缺陷 有瑕疵 有问题
        不良 不良品 不合格 不合格品 异常 異常 异常品 異常品 缺陷 欠陥 欠陥品 瑕疵 次品 废品
        불량 불량품 비정상 이상 결함 불합격""",
    Role.TRAIN: "train training trains trn learn learning entrenamiento entrainement addestramento 训练 訓練 学習",
    Role.TEST: "test testing tests tst eval evaluation holdout heldout pruefung prueba 测试 測試 テスト",
    Role.VALIDATION: "val valid validation validate dev validierung validacion validazione 验证 検証",
    Role.MASKS: """
        groundtruth gt mask masks segmentation segmentations annotation annotations anno annos maske masken
        mascara mascaras masque masques maschere""",
    Role.DEPTH: "xyz depth pcd pointcloud pointclouds disparity",
}
# Words that add nothing to one of the above: "ok parts", "NG images", "test_public".
_FILLERS = """
    part parts piece pieces image images img imgs picture pictures pic pics photo photos foto fotos bild bilder teil
    teile sample samples item items product products produkt produkte data dataset set sets only all public private
    mixed with mit avec con verified checked
    class classes label labels folder split cases case examples example 品 件 画像 图像 图片 样本"""
# Alone, these are levels that say nothing; `label` alone holds masks (as in DAGM 2007), beside a word it adds nothing.
_ALONE = {
    Role.IMAGES: "image images img imgs picture pictures photo photos foto fotos bild bilder data rgb 画像 图像",
    Role.MASKS: "label labels",
}
_NEGATIONS = "no not non nicht kein keine ohne without sans sin senza sem pas un zonder bez 无 無 不 非"
# What a defect may be called: nothing is decided by these, but a "product" of such a name is asked for.
_KINDS = """
    scratch scratches scratched crack cracks cracked dent dents dented hole holes broken break breakage damage damaged
    bent cut cuts stain stains stained contamination contaminated rust rusty corrosion chip chipped missing misplaced
    misaligned deformed deformation burr burrs blowhole blowholes pitting porosity void voids spot spots dirt dirty
    wrong foreign poke squeezed smear torn
    kratzer riss risse delle dellen bruch gebrochen fleck flecken verschmutzt verschmutzung rost grat lunker fehlt
    rayure rayures fissure fissures aranazo rayado grieta mancha graffio graffi crepa macchia
    划痕 划伤 裂纹 傷 キズ 汚れ"""
_AMBIGUOUS = "positive positives negative negatives pos neg 正 负 負"
# What tables hold where nobody wrote a label, or one of two whose meaning nobody says.
_EMPTY = "yes no y n t f true false none null nil nan na unknown undefined todo tbd"
# Names of two folders that together are an answer to a question nobody wrote down.
_ANSWERS = ({"yes", "no"}, {"true", "false"}, {"y", "n"}, {"t", "f"}, {"ja", "nein"}, {"si", "no"}, {"oui", "non"})


_STROKES = str.maketrans("ıłøđ", "ilod")  # letters that no decomposition takes apart


def _plain(text: str) -> str:
    """Without case, accents and widths: ``"Défaut"`` is ``"defaut"``."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_STROKES))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _table(*texts: str) -> frozenset[str]:
    return frozenset(_plain(word) for text in texts for word in text.split())


_ROLES = {word: role for role, names in _NAMES.items() for word in _table(names)}
_LONE = {word: role for role, names in _ALONE.items() for word in _table(names)}
_FILLER, _NEGATION, _KIND, _UNCLEAR = (_table(text) for text in (_FILLERS, _NEGATIONS, _KINDS, _AMBIGUOUS))
_SAYS_NOTHING = _UNCLEAR | _FILLER | _table(_EMPTY)
_MOST_JOINED = 3
"""Words that may be one when joined, as ``nicht in Ordnung``."""
_OPPOSITE = {Role.GOOD: Role.DEFECT, Role.DEFECT: Role.GOOD}
_CASE_CHANGE = re.compile(r"(?<=[a-zäöü])(?=[A-ZÄÖÜ])|(?<=[A-Z])(?=[A-Z][a-z])")
_CAPITALS = re.compile(r"(?<![^\W\d_])[A-ZÄÖÜ]{2,}(?=[a-zäöü]{2})")


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a folder's name, plain and without numbers; letters that stand alone are one word (n.i.O.)."""
    return tuple(word for word, _ in _pieces(name))


@lru_cache(maxsize=4096)
def _pieces(name: str) -> tuple[tuple[str, bool], ...]:
    """The words of a name, each with whether a number follows it: ``No. 3`` is no negation of what comes then."""
    pieces: list[tuple[str, bool]] = []
    single = False
    # A label in capitals ends with them (NGparts); any other word takes the last of them along (GEARTeile).
    parted = _CAPITALS.sub(lambda found: f"{found[0]} " if _plain(found[0]) in _ROLES else found[0], name)
    for word in re.findall(r"\d+|[^\W\d_]+", _CASE_CHANGE.sub(" ", parted)):
        plain = _plain(word)
        if word.isdecimal():
            pieces[-1:] = [(last, True) for last, _ in pieces[-1:]]
        elif single and len(plain) == 1 and plain.isascii():
            pieces[-1] = (pieces[-1][0] + plain, False)
        elif plain:
            pieces.append((plain, False))
            single = len(plain) == 1 and plain.isascii()
    return tuple(pieces)


@lru_cache(maxsize=4096)
def roles_of(name: str) -> frozenset[Role]:
    """What a folder's name says of its images; empty if it holds any word that is not one of these.

    ``NG_2024`` and ``not ok`` are defective, ``ok-parts`` good, ``train_good`` both train and good,
    ``test_tube`` nothing.
    """
    words = words_of(name)
    telling = [word for word in words if word not in _FILLER]
    for joined in ("".join(words), "".join(telling)):
        if joined in _ROLES:
            return frozenset({_ROLES[joined]})
    said = _said_in(name)
    if None in said:
        return frozenset({_LONE[words[0]]}) if len(words) == 1 and words[0] in _LONE else frozenset()
    roles = {role for role in said if role is not None}
    return frozenset(roles or {_LONE[word] for word in words if word in _LONE})


@lru_cache(maxsize=4096)
def _said_in(name: str) -> tuple[Role | None, ...]:
    """What the words of a name say one by one, fillers left out: a word that is not known, or negates nothing, is None.

    A negation turns the word behind it, unless a number stands between them; words that are one when joined
    (``defect free``, ``in Ordnung``) count as one.
    """
    pieces = [piece for piece in _pieces(name) if piece[0] not in _FILLER]
    said: list[Role | None] = []
    negated = False
    at = 0
    while at < len(pieces):
        word, numbered = pieces[at]
        ends = range(min(len(pieces), at + _MOST_JOINED), at + 1, -1)
        joined = ("".join(word for word, _ in pieces[at:end]) for end in ends)
        length, role = next(
            ((end - at, _ROLES[one]) for end, one in zip(ends, joined, strict=True) if one in _ROLES),
            (1, _role_of(word)),
        )
        at += length
        if role is None and word in _NEGATION:
            said += [None] if negated or numbered else []
            negated = not numbered
            continue
        said.append(role if role is None or not negated else _OPPOSITE.get(role, role))
        negated = False
    return (*said, None) if negated else tuple(said)


@lru_cache(maxsize=4096)
def _role_of(word: str) -> Role | None:
    """Of one word, which may have a filler grown to it, as ``testset`` and ``NG品`` have."""
    if word in _ROLES:
        return _ROLES[word]
    stems = (word.removesuffix(filler) for filler in _FILLER if word.endswith(filler))
    return next((_ROLES[stem] for stem in stems if stem in _ROLES), None)


def called_defective(stem: str) -> bool:
    """Whether the name of a file says that it shows a defective part: ``017_NG``, ``gear_not_ok``; not ``no_defect``.

    Unlike a folder's it may hold any other words.
    """
    return Role.DEFECT in roles_of(stem) or Role.DEFECT in _said_in(stem)


def speaks_of_defects(name: str) -> bool:
    """Whether a name holds a word for defects, or for a label that could be either: ``gear_bad``, ``rust``, ``neg``."""
    return Role.DEFECT in _said_in(name) or any(
        _ROLES.get(word) is Role.DEFECT or word in _KIND or word in _UNCLEAR for word in words_of(name)
    )


def is_unclear(label: str) -> bool:
    """Whether a label can neither be told to be good nor taken for a type of defect: ``0.0``, ``none``, ``good_light``.

    One that says both, as ``ok (rework)``, cannot either.
    """
    if len(roles_of(label) & LABELS) == 1:
        return False
    words = words_of(label)
    return all(word in _SAYS_NOTHING for word in words) or any(_ROLES.get(word) is Role.GOOD for word in words)


def looks_like_labels(names: Sequence[str]) -> list[str]:
    """Those of ``names``, folders beside each other, that are perhaps labels and not products."""
    odd = {
        name
        for name in names
        if roles_of(name) & (LABELS | SPLITS | {Role.MASKS, Role.DEPTH}) or speaks_of_defects(name)
    }
    if sorted(map(_number_alone, names)) == [0, 1] or {_plain(name) for name in names} in _ANSWERS:
        return sorted(names)  # two classes, and nobody says which is good
    alike: dict[tuple[str, ...], list[str]] = {}
    saying = _ROLES.keys() | _FILLER | _NEGATION
    for name in names:
        alike.setdefault(tuple(word for word in words_of(name) if word not in saying), []).append(name)
    for rest, group in alike.items():
        # gear_ok beside gear_test: one product, its labels in the names.
        if rest and len(group) > 1 and any(word in _ROLES for name in group for word in words_of(name)):
            odd.update(group)
    return sorted(odd)


def _number_alone(name: str) -> int:
    """The number in a name that says nothing else, as ``0`` and ``class_1``; -1 if there is none."""
    digits = re.sub(r"\D", "", name)
    return int(digits) if digits and all(word in _FILLER for word in words_of(name)) else -1


def one_of(names: Sequence[str], role: Role) -> bool:
    """Whether any of ``names`` has ``role``."""
    return any(role in roles_of(name) for name in names)
