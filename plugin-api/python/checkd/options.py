"""Options: a dataclass whose fields are typed and described, read from what a person wrote.

All mistakes are told at once, each with its option, in the words of the checks that are built in.
"""

import dataclasses
import re
import typing
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Type

HOST_KEYS = frozenset(
    "kind interval fast_interval timeout fall ready_fall rise min_fail_span n_of_m freshness scope".split()
)
"""Keys of a check that checkd reads itself; no option can have one of these names."""

_UNSET = dataclasses.MISSING


class Problem(NamedTuple):
    """A mistake in the options; `option` is `None` when it is about several."""

    option: Optional[str]
    message: str
    help: Optional[str] = None


class Span(float):
    """A length of time in seconds, written `"30s"`, `"1m30s"`, `"250ms"`."""

    _UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    _TEXT = re.compile(r"(?:\d+(?:ms|s|m|h|d))+")
    _PART = re.compile(r"(\d+)(ms|s|m|h|d)")

    @classmethod
    def read(cls, written: Any) -> "Span":
        """From what a person wrote."""
        if isinstance(written, (int, float)) and not isinstance(written, bool):
            raise ValueError(
                f'`{written}` has no unit: write `"{written}s"` for seconds or `"{written}ms"`'
            )
        if not isinstance(written, str) or not cls._TEXT.fullmatch(written):
            raise ValueError(
                f'{_quoted(written)} is no span of time: write it like `"30s"`, `"1m30s"`, `"250ms"`'
            )
        total = sum(int(n) * cls._UNITS[unit] for n, unit in cls._PART.findall(written))
        if total > 100 * 365 * 86400:
            raise ValueError(f"{_quoted(written)} is more than a hundred years")
        return cls(total)

    def __str__(self) -> str:
        return f"{float(self):g}s"


class Size(int):
    """A number of bytes, written `"512MiB"`, `"2GB"`, `"4096B"`."""

    _UNITS = {"B": 1}
    for _n, _word in enumerate(["k", "M", "G", "T"], 1):
        _UNITS[_word + "B"] = 1000**_n
        _UNITS[_word.upper() + "iB"] = 1024**_n
    del _n, _word
    _TEXT = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]+)")

    @classmethod
    def read(cls, written: Any) -> "Size":
        """From what a person wrote."""
        if isinstance(written, (int, float)) and not isinstance(written, bool):
            raise ValueError(
                f'`{written}` has no unit: write `"{written}MiB"`, or `"{written}B"` for bytes'
            )
        match = cls._TEXT.fullmatch(written) if isinstance(written, str) else None
        if match is None or match.group(2) not in cls._UNITS:
            raise ValueError(
                f'{_quoted(written)} is no size: write it like `"512MiB"`, `"2GB"`, `"4096B"`'
            )
        return cls(float(match.group(1)) * cls._UNITS[match.group(2)])


class Percent(float):
    """A share, written `"25%"`; its value is 25."""

    _TEXT = re.compile(r"(\d+(?:\.\d+)?)%")

    @classmethod
    def read(cls, written: Any) -> "Percent":
        """From what a person wrote."""
        match = cls._TEXT.fullmatch(written) if isinstance(written, str) else None
        if match is None:
            raise ValueError(f'{_quoted(written)} is no percentage: write it like `"25%"`')
        return cls(match.group(1))


class Port(int):
    """A port, from 1 to 65535; also as a text, so that `"{port}"` can be written."""

    @classmethod
    def read(cls, written: Any) -> "Port":
        """From what a person wrote."""
        text = str(written) if not isinstance(written, (bool, float)) else ""
        if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
            raise ValueError(f"{_quoted(written)} is no port: write a number from 1 to 65535")
        return cls(text)


class Secret:
    """A text that is printed nowhere: a password, a token.

    A person writes `{ file = "…" }` or `{ env = "…" }`; the check gets the text by `reveal`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def read(cls, written: Any) -> "Secret":
        """From what the host resolved."""
        if not isinstance(written, str):
            raise ValueError('is no secret: write { file = "…" } or { env = "…" }')
        return cls(written)

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "[secret]"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("a secret is written nowhere")


_UNITS: Dict[type, Dict[str, Any]] = {
    Span: {"type": "string", "format": "span", "examples": ["30s"]},
    Size: {"type": "string", "format": "size", "examples": ["512MiB"]},
    Percent: {"type": "string", "format": "percent", "examples": ["25%"]},
    Port: {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}], "format": "port"},
    Secret: {
        "type": "object",
        "format": "secret",
        "oneOf": [
            {"properties": {name: {"type": "string"}}, "required": [name], "additionalProperties": False}
            for name in ("file", "env")
        ],
    },
}
_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number"}
_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def option(
    default: Any = _UNSET,
    *,
    help: str,
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    choices: Optional[List[str]] = None,
) -> Any:
    """A field of an options dataclass.

    `default` is written as a person would write it (`"30s"`), `None` stands for an option that may be
    left out; without a default the option is required. `help` is one sentence for a person.
    `minimum` and `maximum` are limits of a number, `choices` are the words of a text.
    """
    metadata = {
        "help": help,
        "default": default,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
    }
    # A default for every field, so that required ones may follow others; `read` sets them all.
    return dataclasses.field(default=None, metadata=metadata)


class Field(NamedTuple):
    """One option, as its dataclass declares it."""

    name: str
    type: Any
    help: str
    default: Any
    minimum: Optional[float]
    maximum: Optional[float]
    choices: Optional[List[str]]

    @property
    def required(self) -> bool:
        """Whether a person must write it."""
        return self.default is _UNSET


def fields(options: Type[Any]) -> List[Field]:
    """The options that a dataclass declares.

    Raises `TypeError` where a declaration makes no sense: the author's mistake.
    """
    if not dataclasses.is_dataclass(options):
        raise TypeError(f"{options.__name__} is no dataclass: write @dataclass above it")
    types = typing.get_type_hints(options)
    found = []
    for one in dataclasses.fields(options):
        said = one.metadata
        if "help" not in said:
            raise TypeError(f"{options.__name__}.{one.name} is no option: give it `option(help=…)`")
        if one.name in HOST_KEYS:
            raise TypeError(f"no option can be called `{one.name}`: checkd reads that key itself")
        default = said["default"]
        of, optional = _without_none(types[one.name])
        if optional and default is _UNSET:
            default = None
        field = Field(one.name, of, said["help"], default, said["minimum"], said["maximum"], said["choices"])
        _schema_of(of, one.name)
        found.append(field)
    return found


def schema(options: Type[Any]) -> Dict[str, Any]:
    """The JSON Schema of a dataclass of options."""
    properties, required = {}, []
    for field in fields(options):
        one = dict(_schema_of(field.type, field.name), description=field.help)
        for name in ("minimum", "maximum"):
            if getattr(field, name) is not None:
                one[name] = getattr(field, name)
        if field.choices is not None:
            one["enum"] = list(field.choices)
        if field.required:
            required.append(field.name)
        elif field.default is not None:
            one["default"] = field.default
        properties[field.name] = one
    whole: Dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        whole["required"] = required
    return whole


def read(options: Type[Any], written: Dict[str, Any]) -> Tuple[Any, List[Problem]]:
    """The options as a dataclass, or every mistake in them."""
    known = {field.name: field for field in fields(options)}
    problems = list(_unknown(known, written))
    values = {}
    for field in known.values():
        if field.name not in written:
            if field.required:
                problems.append(Problem(field.name, "is missing"))
                continue
            if field.default is None:
                values[field.name] = None
                continue
        try:
            values[field.name] = _value(field, written.get(field.name, field.default))
        except ValueError as error:
            problems.append(Problem(field.name, str(error)))
    if problems:
        return None, problems
    return options(**values), []


def _unknown(known: Dict[str, Field], written: Dict[str, Any]) -> Iterator[Problem]:
    import difflib

    for name in written:
        if name not in known:
            names = ", ".join(f"`{one}`" for one in sorted(known))
            message = f"unknown option; options: {names}" if known else "unknown option; this kind has none"
            near = difflib.get_close_matches(name, known, 1)
            yield Problem(name, message, f"did you mean `{near[0]}`?" if near else None)


def _value(field: Field, written: Any) -> Any:
    value = _read(field.type, written)
    for limit, words, beyond in (
        (field.minimum, "at least", lambda limit: value < limit),
        (field.maximum, "at most", lambda limit: value > limit),
    ):
        if limit is not None and beyond(limit):
            raise ValueError(f"must be {words} {limit}, found {written}")
    if field.choices is not None and value not in field.choices:
        words = ", ".join(f"`{one}`" for one in field.choices)
        raise ValueError(f"is {_quoted(written)}; one of {words} is allowed")
    return value


def _read(of: Any, written: Any) -> Any:
    if typing.get_origin(of) is list:
        if not isinstance(written, list):
            raise ValueError(f"must be a list, found {_quoted(written)}")
        (item,) = typing.get_args(of)
        return [_read(item, one) for one in written]
    if of in _UNITS:
        return of.read(written)
    if of is float and isinstance(written, int) and not isinstance(written, bool):
        return float(written)
    # bool is an int to Python, and not to a person.
    if type(written) is not of:
        raise ValueError(f"must be {_WORDS[of]}, found {_quoted(written)}")
    return written


def _schema_of(of: Any, name: str) -> Dict[str, Any]:
    if typing.get_origin(of) is list and len(typing.get_args(of)) == 1:
        return {"type": "array", "items": _schema_of(typing.get_args(of)[0], name)}
    if of in _UNITS:
        return _UNITS[of]
    if of in _PLAIN:
        return {"type": _PLAIN[of]}
    raise TypeError(f"option `{name}` cannot be a {of}: see the types of `checkd`")


def _without_none(of: Any) -> Tuple[Any, bool]:
    if typing.get_origin(of) is typing.Union:
        others = [one for one in typing.get_args(of) if one is not type(None)]
        if len(others) == 1 and len(others) < len(typing.get_args(of)):
            return others[0], True
    return of, False


def _quoted(written: Any) -> str:
    text = str(written)
    return f"`{text}`" if len(text) <= 60 else f"`{text[:60]}…`"
