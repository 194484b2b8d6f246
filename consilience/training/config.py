"""One configuration for a whole training: YAML or JSON, typed, with every value open to an override."""

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from consilience.base import CATALOG
from consilience.base.errors import InvalidInput, nearest
from consilience.data import FEATURES
from consilience.ensemble.quorum import needed
from consilience.evaluation.gates import gates_from_spec


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlantedConfig(_Section):
    """The synthetic market: its seed, bars per asset, assets."""

    seed: int = Field(0, ge=0)
    bars: int = Field(4000, ge=20)
    assets: int = Field(2, ge=1)


class DataConfig(_Section):
    """Where the bars come from; giving ``path`` means a CSV file."""

    source: Literal["demo", "planted", "csv"] = "demo"
    path: Path | None = None
    planted: PlantedConfig = PlantedConfig()

    @model_validator(mode="before")
    @classmethod
    def _path_means_csv(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("path") is not None:
            return {**values, "source": "csv"}
        return values

    @model_validator(mode="after")
    def _csv_needs_a_path(self) -> Self:
        if self.source == "csv" and self.path is None:
            raise ValueError("source csv needs data.path=FILE.csv")
        return self


class FoldConfig(_Section):
    """The folds that every member is fitted on."""

    scheme: Literal["walk_forward", "purged_k_fold"] = "walk_forward"
    splits: int = Field(6, ge=2, le=100)
    embargo: int | str = "5D"


class MemberConfig(_Section):
    """One member: a class of the framework, and the parameters that differ from its defaults."""

    model: str
    params: dict[str, Any] = {}

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.model not in CATALOG:
            raise ValueError(f"there is no model {self.model!r}.{nearest(self.model, CATALOG)}")
        return self


class EnsembleConfig(_Section):
    """How the members are joined: parameters of ``StackingClassifier``, models in them written like members."""

    regimes: MemberConfig | None = None
    final_estimator: MemberConfig | None = None
    passthrough: bool = False
    selection: Literal["weights", "specialist"] = "weights"
    max_correlation: float | None = Field(None, gt=0, le=1)
    confidence_threshold: float | None = Field(None, ge=0, le=1)
    quorum: StrictInt | StrictFloat = 0.5
    fit_budget: float | None = Field(None, gt=0, allow_inf_nan=False)
    predict_budget: float | None = Field(None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_meta_learner(self) -> Self:
        if self.final_estimator is not None and self.selection != "weights":
            raise ValueError("selection must be weights where there is a final_estimator")
        if self.passthrough and self.final_estimator is None:
            raise ValueError("passthrough needs a final_estimator that reads the columns")
        return self


class CostConfig(_Section):
    """Trading costs in basis points of the turnover (a change from long to flat is a turnover of 1)."""

    bps: float = Field(2.0, ge=0, le=1000)


class OutputConfig(_Section):
    """Where reports, the run ledger and the registry are written."""

    runs: Path = Path("runs")
    registry: str = "registry"


def _default_members() -> dict[str, MemberConfig]:
    return {name: MemberConfig(**member) for name, member in _read(_bundled("demo"))["members"].items()}


def _default_gates() -> list[str | dict[str, Any]]:
    return list(_read(_bundled("demo"))["gates"])


class Config(_Section):
    """A whole training. Without arguments it is the bundled demo.

    Examples
    --------
    >>> Config.load("demo", ["seed=3", "folds.splits=4"]).folds.splits
    4
    """

    name: str = "index-direction"
    seed: int = Field(0, ge=0, lt=2**31)
    data: DataConfig = DataConfig()
    features: Literal["all"] | list[str] = "all"
    label: str = "direction_1d"
    folds: FoldConfig = FoldConfig()
    holdout: float = Field(0.15, ge=0.05, le=0.5)
    members: dict[str, MemberConfig] = Field(default_factory=_default_members, min_length=1)
    ensemble: EnsembleConfig = EnsembleConfig()
    costs: CostConfig = CostConfig()
    gates: list[str | dict[str, Any]] = Field(default_factory=_default_gates)
    output: OutputConfig = OutputConfig()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}[a-z0-9]", value):
            raise ValueError(f"must be 2 to 64 of a-z, 0-9, '_', '-', such as 'index-direction'; got {value!r}")
        return value

    @field_validator("label")
    @classmethod
    def _known_label(cls, value: str) -> str:
        if not re.fullmatch(r"direction_[1-9]\d{0,3}d", value):
            raise ValueError(f"must be direction_Nd with N bars, such as 'direction_1d'; got {value!r}")
        return value

    @model_validator(mode="after")
    def _known_features(self) -> Self:
        if self.features != "all":
            for name in self.features:
                if name not in FEATURES:
                    raise ValueError(f"features: there is no feature {name!r}.{nearest(name, FEATURES)}")
        return self

    @model_validator(mode="after")
    def _quorum_that_can_be_met(self) -> Self:
        try:
            needed(self.ensemble.quorum, len(self.members), "ensemble")
        except InvalidInput as error:
            raise ValueError(f"ensemble.quorum: {error}") from None
        return self

    @model_validator(mode="after")
    def _known_gates(self) -> Self:
        gates_from_spec(self.gates)
        return self

    @classmethod
    def load(cls, source: str | Path | None = None, overrides: Sequence[str] = ()) -> Self:
        """Read a YAML or JSON file, or a bundled configuration by name (``demo``, ``planted``), and apply overrides.

        Parameters
        ----------
        source : path or name; the demo by default.
        overrides : ``key.path=value`` each, the value written as in YAML.

        Raises
        ------
        InvalidInput : one line that names the key, what it must be, and the nearest right key for a wrong one.
        """
        label, values = _source(source)
        for override in overrides:
            _apply(values, override)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidInput(f"{label}: {_first_error(error)}") from None

    @property
    def feature_names(self) -> list[str]:
        """The chosen features, in order."""
        return list(FEATURES) if self.features == "all" else list(self.features)

    def dump(self) -> dict[str, Any]:
        """As plain JSON-able values, every default written out."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """As YAML that ``load`` reads."""
        return yaml.safe_dump(self.dump(), sort_keys=False, allow_unicode=True)


def bundled_names() -> list[str]:
    """The configurations that come with the package.

    >>> bundled_names()
    ['demo', 'planted']
    """
    folder = files("consilience.configs")
    return sorted(
        item.name.removesuffix(".yaml")
        for item in folder.iterdir()
        if item.name.endswith(".yaml") and item.name != "targets.yaml"
    )


def _bundled(name: str) -> str:
    return files("consilience.configs").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def _source(source: str | Path | None) -> tuple[str, dict[str, Any]]:
    if source is None or str(source) in bundled_names():
        name = str(source or "demo")
        return f"the bundled config {name!r}", _read(_bundled(name))
    path = Path(source)
    if not path.is_file():
        names = ", ".join(bundled_names())
        raise InvalidInput(
            f"There is no config file {path}; give a file, or one of the bundled configs ({names})."
            f"{nearest(str(source), bundled_names())}"
        )
    try:
        values = _read(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path} is not YAML or JSON: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InvalidInput(f"{path} must hold keys and values, such as 'seed: 0'.")
    return str(path), values


def _read(text: str) -> Any:
    return yaml.safe_load(text)


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one ``key.path=value``."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InvalidInput(f"{override!r} is not an override; write key=value, such as data.path=prices.csv")
    try:
        value = yaml.safe_load(text) if text else None
    except yaml.YAMLError:
        value = text
    place: Any = values
    *parents, last = key.strip().split(".")
    for depth, part in enumerate(parents):
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise InvalidInput(f"{override!r}: {'.'.join(parents[: depth + 1])} holds a value, not keys.")
    place[last] = value


def _first_error(error: ValidationError) -> str:
    """The first thing wrong, as one sentence."""
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])  # a misspelt key is also missing
    where = [str(part) for part in first["loc"] if part != "literal['all']" and not str(part).startswith("list[")]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        known = _keys_at(where[:-1])
        hint = nearest(where[-1], known) or f" The keys there are {', '.join(known)}."
        return f"there is no key {key!r}.{hint}"
    text = first["msg"].removeprefix("Value error, ")
    text = text[0].lower() + text[1:] if text else "not valid"
    if first["type"] == "value_error":
        return f"{key}: {text}" if key else text
    return f"{key}: {text}; got {json.dumps(first['input'], default=str)[:80]}"


def _keys_at(path: Sequence[str]) -> list[str]:
    model: Any = Config
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue  # a member's own name, under `members`
        annotation = field.annotation
        inner = [
            argument
            for argument in get_args(annotation)
            if isinstance(argument, type) and issubclass(argument, _Section)
        ]
        model = inner[0] if inner else annotation
    return list(getattr(model, "model_fields", {}))
