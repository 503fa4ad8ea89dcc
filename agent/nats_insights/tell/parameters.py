"""Parameters of checks as text, for pages and commands."""

from __future__ import annotations

from nats_insights.config import span
from nats_insights.tell.messages import ParameterInfo
from nats_insights.text import plain


def amount(parameter: ParameterInfo) -> str:
    """The value of a parameter, with its unit unless the value includes it."""
    unit = "" if parameter.kind == "duration" or parameter.value == "off" else parameter.unit
    return f"{written(parameter, parameter.value)} {unit}".rstrip()


def about(parameter: ParameterInfo) -> list[str]:
    """The meaning of a parameter, and notes on it."""
    told = [parameter.description]
    if parameter.severity:
        told.append(parameter.severity)
    if parameter.insights is not None:
        told.append(f"{written(parameter, parameter.insights)} in the profile insights")
    if parameter.metadata:
        told.append(f"owners of assets set {parameter.metadata}")
    return told


def allowed(parameter: ParameterInfo) -> str:
    """The allowed range or words of a parameter, "" if any value is allowed."""
    ends = (
        (">=", parameter.minimum),
        (">", parameter.exclusive_minimum),
        ("<=", parameter.maximum),
        ("<", parameter.exclusive_maximum),
    )
    told = [f"{sign} {written(parameter, bound)}" for sign, bound in ends if bound is not None]
    return ", ".join(told) or " or ".join(parameter.choices)


def written(parameter: ParameterInfo, value: float | str | bool) -> str:
    """A value of a parameter, as the configuration has it."""
    if isinstance(value, str):
        return f'"{plain(value)}"' if parameter.kind == "text" else value
    if isinstance(value, bool):
        return str(value).lower()
    if parameter.kind == "duration":
        return span(value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)
