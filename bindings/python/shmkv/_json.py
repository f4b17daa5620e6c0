"""Lists and dicts as JSON, without the losses that the json module lets pass. Spec 10.1 and 10.2."""

import json

_INT64 = range(-(2**63), 2**63)
_DEEPEST = 512  # [VAL-07]


def _check(value, above=()):
    """Refuse what JSON, or another language's reader of it, would not give back as it was."""
    if isinstance(value, (str, bool, float)) or value is None:
        return
    if isinstance(value, int):
        if value not in _INT64:
            raise ValueError("bad value: an integer beyond 64 bits in a list or dict; store it as text")
    elif isinstance(value, (list, tuple, dict)):
        if any(value is outer for outer in above):
            raise ValueError("bad value: a list or dict that contains itself")
        if len(above) >= _DEEPEST:
            raise ValueError("bad value: more than %d lists and dicts inside each other" % _DEEPEST)
        above += (value,)
        for name in value if isinstance(value, dict) else ():
            if not isinstance(name, str):
                raise TypeError("a dict in a value must have str keys, not %s" % type(name).__name__)
        for member in value.values() if isinstance(value, dict) else value:
            _check(member, above)
    else:
        raise TypeError("a list or dict in a value cannot hold a %s" % type(value).__name__)


_encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))


def encode(value):
    _check(value)
    return _encoder.encode(value)


def _no_constant(name):
    raise ValueError("%s is not JSON" % name)


decode = json.JSONDecoder(parse_constant=_no_constant).decode
